from stn_tf.training.progress import TrainingProgress, figures_text


def test_figures_preset():
    figures = {"loss": 0.12345, "error_percent": 1.239, "kind_accuracy": 0.5}
    assert figures_text(figures) == "loss 0.1235  error 1.24 %  kind accuracy 0.5000"


def test_lines_where_there_is_no_terminal(capsys):
    with TrainingProgress("a title", 0, 100) as progress:
        progress.update(1, {"loss": 2.0}, 0.0, 0.0, 0.0)
        progress.update(2, {"loss": 1.5}, 1234.0, 0.031, 61.0)  # Too soon for another line.
        progress.update(100, {"loss": 1.0}, 1234.4, 0.031, 61.0)
        progress.say("something else")
    assert capsys.readouterr().err.splitlines() == [
        "a title",
        "step 1/100  loss 2.0000",
        "step 100/100  loss 1.0000  1,234 images/s  input wait 3 %  1:01 left",
        "something else",
    ]


def test_nothing_is_shown_when_it_should_not_be(capsys):
    with TrainingProgress("a title", 0, 1, shown=False) as progress:
        progress.update(1, {"loss": 1.0}, 0.0, 0.0, 0.0)
        progress.say("a line")
    assert capsys.readouterr() == ("", "")
