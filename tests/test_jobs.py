"""A table of jobs is read as data, with each line's fault named, and leads nowhere else."""

import pytest

from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.jobs import read_jobs

COLUMNS = {"seed", "crop_only", "portrait_face", "driving_face"}


@pytest.fixture
def read(tmp_path):
    """What a table of this text holds."""

    def call(text: str, **settings):
        table = tmp_path / "jobs.csv"
        table.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_jobs(table, COLUMNS, **settings)

    return call


def test_lines_become_jobs(read, tmp_path):
    jobs = read(
        "\ufeffdriving, portrait,output,seed,crop-only\r\n"
        "a.mp4,p 1.png,one.mp4,7,\r\n"
        "\r\n"
        '"b, c.mp4",p 1.png,deep/two.mp4,, yes \r\n'
    )
    assert [job.line for job in jobs] == [2, 4]
    assert (jobs[0].portrait, jobs[0].driving) == (tmp_path / "p 1.png", tmp_path / "a.mp4")
    assert jobs[0].words == {"seed": "7"}
    assert (jobs[1].driving, jobs[1].output) == (tmp_path / "b, c.mp4", tmp_path / "deep" / "two.mp4")
    assert jobs[1].words == {"crop_only": "yes"}


def test_a_face_is_a_place_or_a_path_in_the_folder(read, tmp_path):
    (job,) = read("portrait,driving,output,portrait_face,driving_face\np,d,o.mp4,left,anna.png\n")
    assert job.words == {"portrait_face": "left", "driving_face": str(tmp_path / "anna.png")}
    with pytest.raises(UserError, match="leads out of its folder"):
        read("portrait,driving,output,driving_face\np,d,o.mp4,../anna.png\n")


@pytest.mark.parametrize("outside", ["../p.png", "/etc/passwd", "a/../../p.png", "link/p.png"])
def test_paths_stay_in_the_folder_unless_allowed(read, tmp_path, outside):
    (tmp_path / "link").symlink_to("/")
    text = f"portrait,driving,output\n{outside},d.mp4,o.mp4\n"
    with pytest.raises(UserError, match=r"Line 2 of .* leads out of its folder"):
        read(text)
    assert read(text, allow_outside=True)[0].portrait == tmp_path / outside


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column portrait, driving, output"),
        ("portrait,driving\np,d\n", "no column output"),
        ("portrait,driving,output,speed\n", "column 'speed'; there may be portrait, driving, output, crop_only"),
        ("portrait,driving,output,seed,seed\n", "column seed twice"),
        ("portrait,driving,output\np,d,o.mp4,7\n", "Line 2 of .* has 1 cells more"),
        ("portrait,driving,output\np,,o.mp4\n", "Line 2 of .* has no driving"),
        ("portrait,driving,output\np,d\n", "Line 2 of .* has no output"),
        ("portrait,driving,output\np,d,o.mp4\nq,d,./o.mp4\n", "Lines 2 and 3 of .* have the same output"),
        ('portrait,driving,output\n"p,d,o.mp4\n', "no table of jobs"),
        (b"portrait,driving,output\n\xff,d,o.mp4\n", "no table of jobs"),
        (b"portrait,driving,output\np\0,d,o.mp4\n", "a character that no path has|no table of jobs"),
    ],
)
def test_what_is_no_table_is_told(read, text, said):
    with pytest.raises(UserError, match=said):
        read(text)


def test_a_table_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_jobs(tmp_path / "jobs.csv", COLUMNS)
