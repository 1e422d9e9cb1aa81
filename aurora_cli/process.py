"""Whether this process is the program ``aurora``: only then a command may change what belongs to the whole process."""

is_program = False
