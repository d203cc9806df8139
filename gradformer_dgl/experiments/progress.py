"""What is told of trainings while they go on."""


class Progress:
    """Is told how the trainings go on. This one says nothing; the commands show it on stderr.

    Examples
    --------
    >>> from gradformer_dgl.experiments.progress import Progress
    >>> class Counter(Progress):
    ...     finished_tasks = 0
    ...
    ...     def finished(self, title, text):
    ...         self.finished_tasks += 1
    >>> counter = Counter()
    >>> counter.finished("MUTAG published gin seed 0", "test accuracy 80 %")
    >>> counter.finished_tasks
    1
    """

    def plan(self, total: int, done: int) -> None:
        """There are so many things to do, and so many of them are finished."""

    def epoch(self, title: str, epoch: int, epochs: int, text: str) -> None:
        """One of them has done an epoch, with these scores."""

    def finished(self, title: str, text: str) -> None:
        """One of them is finished, with this outcome."""
