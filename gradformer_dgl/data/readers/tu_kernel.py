# mypy: allow-untyped-defs
"""Numbers out of the bytes of a text file."""

from gradformer_dgl.jit.compile import jit

OK, NOT_AN_INTEGER, WRONG_COLUMNS, BLANK_LINE = range(4)

_TAB, _NEWLINE, _RETURN, _SPACE, _PLUS, _COMMA, _MINUS, _ZERO, _NINE = 9, 10, 13, 32, 43, 44, 45, 48, 57
# The longest run of digits that cannot overflow int64.
_MOST_DIGITS = 18


@jit
def parse_integers(text, columns, values, state):
    """Parse whole lines of integers, separated by commas or blanks.

    ``values`` is filled from its start. ``state`` holds, from one piece of a file to the next, the
    number of lines before it and the first blank line (0: none yet), which only blank lines may follow.
    Returns the number of values, a status and the line it is about.
    """
    position = 0
    count = 0
    line = state[0]
    while position < len(text):
        line += 1
        found = 0
        after_comma = False
        while position < len(text) and text[position] != _NEWLINE:
            byte = text[position]
            if byte in (_SPACE, _TAB, _RETURN):
                position += 1
                continue
            if byte == _COMMA:
                if found == 0 or after_comma:
                    return count, NOT_AN_INTEGER, line
                after_comma = True
                position += 1
                continue
            if byte in (_MINUS, _PLUS):
                position += 1
            start = position
            number = 0
            while position < len(text) and _ZERO <= text[position] <= _NINE:
                number = number * 10 + (text[position] - _ZERO)
                position += 1
            if position == start or position - start > _MOST_DIGITS:
                return count, NOT_AN_INTEGER, line
            if position < len(text):
                end = text[position]
                if end not in (_NEWLINE, _COMMA, _SPACE, _TAB, _RETURN):
                    return count, NOT_AN_INTEGER, line
            if found == columns:
                return count, WRONG_COLUMNS, line
            values[count] = -number if byte == _MINUS else number
            count += 1
            found += 1
            after_comma = False
        position += 1
        if found == 0:
            if state[1] == 0:
                state[1] = line
        elif state[1] != 0:
            return count, BLANK_LINE, state[1]
        elif after_comma:
            return count, NOT_AN_INTEGER, line
        elif found != columns:
            return count, WRONG_COLUMNS, line
    state[0] = line
    return count, OK, line
