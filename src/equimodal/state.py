"""What goes on after a checkpoint, under the names that torch has for it."""

from torch import Tensor


class Stateful:
    """Has tensors that its future depends on, and that change in place."""

    kept: tuple[str, ...] = ()  # attributes that hold them

    def state_dict(self) -> dict[str, Tensor]:
        """Return tensors that the future depends on; raises `TypeError` if one of `kept` is none."""
        if isinstance(self.kept, str):
            raise TypeError(f"{type(self).__name__}.kept is one text: write ({self.kept!r},)")
        for name in self.kept:
            if not isinstance(value := getattr(self, name, None), Tensor):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a {type(value).__name__}: what is kept has to be a tensor"
                )
        return {name: getattr(self, name).clone() for name in self.kept}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave; raises as `require_state`."""
        self.require_state(state)
        for name in self.kept:
            getattr(self, name).copy_(state[name])

    def require_state(self, state: dict[str, Tensor]) -> None:
        """Check that a state is one of this kind.

        Raises:
            ValueError: If it is of something else.
        """
        given, own = ({k: tuple(t.shape) for k, t in s.items()} for s in (state, self.state_dict()))
        if given != own:
            raise ValueError(
                f"a state with the shapes {given} is not one of this {type(self).__name__}, which has {own}:"
                " build it with the settings that it was saved with"
            )
