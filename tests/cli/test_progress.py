"""The progress bar: nothing is printed unless standard error is a terminal."""

from sgmkit.cli.progress import progress


def test_a_pipe_gets_no_bar(capsys):
    with progress() as show:
        show(0, 3, "samples")
        show(3, 3, "samples")
    assert capsys.readouterr() == ("", "")
