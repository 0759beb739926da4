"""`backline doctor`: is this machine fit to play live, with what settings, and what is to be changed?

Each check runs in a process of its own with a time limit, so that a driver that hangs or crashes is a finding and no
end. A check measures first and judges then; judgements are pure functions.
"""
