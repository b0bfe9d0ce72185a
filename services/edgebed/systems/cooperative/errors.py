"""What can be wrong with the values that describe a cooperative system.

ModelError(ValueError)      a value that the model does not allow: field, value, remedy
"""


class ModelError(ValueError):
    """A value that the model does not allow.

    `field` is the path of the value as its author wrote it (`capacityHz[2]`), `remedy` what would be right.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field = field
        self.value = value
        self.remedy = remedy
        shown = repr(value)
        super().__init__(f"{field}: {shown if len(shown) < 80 else shown[:77] + '...'} is not allowed; {remedy}")

    def __reduce__(self) -> tuple[type["ModelError"], tuple[str, object, str]]:
        # Exceptions are pickled as type(*args), and args is the message: a worker's error would not reach its parent.
        return type(self), (self.field, self.value, self.remedy)
