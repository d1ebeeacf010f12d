"""From one tab to one thing of another."""

from textual.message import Message


class OpenItem(Message):
    """The reader wants to see one thing of a tab."""

    def __init__(self, mode: str, key: str) -> None:
        super().__init__()
        self.mode = mode
        self.key = key
