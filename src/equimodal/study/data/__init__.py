"""From the source of a data set to splits held in memory."""
