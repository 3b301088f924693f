"""Which task a model has: the one that was declared, or that its graph proves."""

from collections.abc import Mapping, Sequence

from stn_tf.errors import ExportError
from stn_tf.export.source.declaration import Declaration
from stn_tf.export.source.heads import CLASS, LOGITS, PROBABILITIES, Head, Own
from stn_tf.interface import Task, words


def decide(own: Sequence[Own], declared: Declaration) -> Head:
    """Returns the head of a model: what was declared, or what the graph proves.

    Raises:
        ExportError: If the task or the classes do not fit the outputs.
    """
    task, notes = declared.task, []
    which = _which(own, declared)
    if task is None:
        task, note = _found_task(own, which, declared)
        notes.append(note)
    if task in ("none", "regression", "embedding", "dense"):
        if declared.classes is not None:
            raise ExportError(
                f"`classes` must be left out for the task {task}, which has none, but it names "
                f"{len(declared.classes)}."
            )
        _check_fits(own, task)
        return Head(
            task,
            (),
            _own_names(own, {}),
            notes=tuple(filter(None, notes)),
            meanings=declared.meanings or {},
        )
    if which is None:
        raise ExportError(_no_fit(own, task))
    source = own[which]
    count = 2 if task == "binary" else source.shape[-1]
    if count is None:
        count = len(declared.classes or ())
    if declared.classes is not None and len(declared.classes) != count:
        raise ExportError(
            f"`classes` must name the {count} classes of the model, but it names "
            f"{len(declared.classes)}."
        )
    names = declared.classes or tuple(map(str, range(count)))
    activated = source.activation == ("softmax" if task == "classification" else "sigmoid")
    if declared.task is not None and source.activation and not activated:
        notes.append(
            f"Task {task}: the model ends in a {source.activation}, whose values are taken as "
            "logits."
        )
    # Only models given their classes, as the paper's networks are, have the customary names.
    custom = {}
    if declared.classes is not None and source.name is None and task == "classification":
        custom[which] = PROBABILITIES if activated else LOGITS
    own_names = _own_names(own, custom)
    used = set(own_names)

    def free(name: str) -> str | None:
        return None if name in used else name

    customary = declared.classes is not None and own_names[which] in (LOGITS, PROBABILITIES)
    return Head(
        task,
        names,
        own_names,
        own_names[which],
        activated,
        free(LOGITS) if customary and activated and task == "classification" else None,
        free(PROBABILITIES),
        free(CLASS) if task != "multilabel" else None,
        tuple(filter(None, notes)),
        declared.meanings or {},
    )


def _found_task(own: Sequence[Own], which: int | None, declared: Declaration) -> tuple[Task, str]:
    """The task of a model of which none was declared, and the line that says so."""
    given = declared.classes
    if which is not None and given is not None:
        source = own[which]
        if source.activation == "sigmoid" and source.shape[-1] != 1:
            return "multilabel", "Task multilabel: a sigmoid ends the graph; --task changes it."
        if source.shape[-1] == 1 or len(source.shape) == 1:
            return "binary", "Task binary: one number for two classes; --task changes it."
        return "classification", ""
    if given is not None:
        raise ExportError(_no_fit(own, "classification"))
    if len(own) != 1:
        return "none", (
            f"Task undecided: the model has {len(own)} outputs, which leave as they are; say "
            "--task for what one of them means."
        )
    (only,) = own
    if only.activation == "softmax" and len(only.shape) == 2 and only.shape[-1] != 1:
        return "classification", (
            "Task classification: a softmax ends the graph; --task changes it, --classes names "
            "the classes."
        )
    if only.activation == "sigmoid" and len(only.shape) == 2 and only.shape[-1] == 1:
        return "binary", (
            "Task binary: a sigmoid of one number ends the graph; --task changes it, --classes "
            "names the two classes."
        )
    return "none", (
        f"Task undecided: the output {words(only.shape)} leaves as it is; say --task, or "
        "--classes, for what it means."
    )


def _which(own: Sequence[Own], declared: Declaration) -> int | None:
    """The output that holds classes; None if there is none, or no telling which."""
    count = None if declared.classes is None else len(declared.classes)
    fitting = []
    for index, output in enumerate(own):
        length = output.shape[-1] if output.shape else None
        if not output.floating or not output.shape:
            continue
        single = len(output.shape) == 1 or (len(output.shape) == 2 and length == 1)
        wide = len(output.shape) == 2 and length != 1
        if declared.task == "binary":
            fits = single
        elif declared.task == "classification":
            fits = wide
        elif declared.task == "multilabel":
            fits = len(output.shape) == 2
        else:
            fits = wide or single
        # A single output that does not fit in number gets an error that says so.
        several = len(own) > 1 and count is not None
        if fits and not (several and count not in (length, 2 if single else length)):
            fitting.append(index)
    if len(fitting) == 1:
        return fitting[0]
    proven = [i for i in fitting if own[i].activation is not None]
    return proven[0] if len(proven) == 1 else None


def _check_fits(own: Sequence[Own], task: str) -> None:
    rank = {"embedding": lambda n: n == 2, "dense": lambda n: n >= 3}.get(task)
    floating = [output for output in own if output.floating]
    if task == "regression" and not floating:
        raise ExportError(_no_fit(own, task))
    if rank is not None and not any(rank(len(output.shape)) for output in floating):
        raise ExportError(_no_fit(own, task))


_NEEDS: dict[str, str] = {
    "classification": "one output [N, K] with K of at least 2",
    "binary": "one output [N, 1]",
    "multilabel": "one output [N, K]",
    "regression": "an output of floating-point numbers",
    "embedding": "an output [N, K]",
    "dense": "an output [N, height, width, ...]",
}


def _no_fit(own: Sequence[Own], task: str) -> str:
    listed = ", ".join(f"{output.dtype} {words(output.shape)}" for output in own)
    return (
        f"`task` must fit the model's outputs: {task} needs {_NEEDS[task]}, but they are {listed}. "
        "Choose another, or leave it out."
    )


def _own_names(own: Sequence[Own], custom: Mapping[int, str]) -> tuple[str, ...]:
    names: list[str] = []
    taken = {output.name for output in own} | set(custom.values())
    for index, output in enumerate(own):
        name = custom.get(index) or output.name
        if name is None:
            number = sum(n is None for n in (o.name for o in own[:index])) + 1
            name = "output" if number == 1 else f"output_{number}"
            while name in taken:
                name += "_"
        names.append(name)
    return tuple(names)
