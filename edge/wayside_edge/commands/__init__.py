"""What a person types at a board: a module for each command, loaded when it is typed.

Each has `run`, which takes its arguments and gives the exit status. The command lines are in `arguments`, so that
reading one loads none of the rest.
"""
