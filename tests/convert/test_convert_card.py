"""The card of a converted folder: its metadata, what is pasted from it, and the licences that go along."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard

from diffusers_hunyuan_portrait.convert.card import carry_licences, find_licences, update_card, write_card


def fill(folder: Path, **files: str) -> Path:
    """Writes files of these names and contents; `__` in a name is a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


@pytest.fixture
def originals(tmp_path) -> tuple[list[Path], Path]:
    """Folders as `find_licences` takes them, with a licence each and Tencent's notice."""
    source = fill(tmp_path / "source", LICENSE__txt="Tencent's terms\n", Notice="Tencent's notice\n", unet__pth="")
    return [source], fill(tmp_path / "svd", License__md="Stability AI's terms\n", README__md="")


def make_folder(originals: tuple[list[Path], Path], folder: Path, *, name: str = "lab/portraits") -> str:
    """What of a converted folder has to do with the card; gives the card."""
    folder.mkdir()
    carry_licences(folder, find_licences(*originals))
    write_card(folder, name)
    return (folder / "README.md").read_text()


def tables(card: str) -> list[list[str]]:
    """The cells of each row of its tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:1] == "|"]


# -- Metadata ------------------------------------------------------------------------------------------------


def test_the_metadata_are_what_the_hub_reads(originals, tmp_path):
    make_folder(originals, tmp_path / "model")
    data = ModelCard.load(tmp_path / "model" / "README.md").data.to_dict()
    assert data == {
        "base_model": ["tencent/HunyuanPortrait", "stabilityai/stable-video-diffusion-img2vid-xt"],
        "library_name": "diffusers",
        "license": "other",
        "license_name": "tencent-hunyuan-portrait",
        "license_link": "LICENSE",
        "pipeline_tag": "image-to-video",
        "tags": ["hunyuan-portrait", "portrait-animation", "stable-video-diffusion"],
    }


def test_without_tencents_licence_the_card_says_so_and_links_it(originals, tmp_path):
    _, svd = originals
    card = make_folder(([fill(tmp_path / "bare")], svd), tmp_path / "model")
    data = ModelCard.load(tmp_path / "model" / "README.md").data
    assert data.license_link == "https://huggingface.co/tencent/HunyuanPortrait"
    assert "Before this is published, Tencent's licence must be added" in card
    assert not (tmp_path / "model" / "LICENSE").exists()
    whole = make_folder(originals, tmp_path / "whole")
    assert "must be added" not in whole


def test_a_licence_added_later_is_linked_once_the_card_is_updated(originals, tmp_path):
    _, svd = originals
    folder = tmp_path / "model"
    make_folder(([fill(tmp_path / "bare")], svd), folder)
    fill(folder, LICENSE="Tencent's terms\n")
    update_card(folder, "lab/portraits")
    card = (folder / "README.md").read_text()
    assert "must be added" not in card
    assert ModelCard.load(folder / "README.md").data.license_link == "LICENSE"
    write_card(folder, "lab/portraits")
    assert card == (folder / "README.md").read_text()


# -- Licences ------------------------------------------------------------------------------------------------


def test_licences_and_notices_are_carried_whatever_their_case(originals, tmp_path):
    make_folder(originals, tmp_path / "model")
    carried = {
        path.relative_to(tmp_path / "model" / "licences").as_posix() for path in tmp_path.glob("model/*/*/*")
    }
    assert carried == {
        "hunyuan-portrait/LICENSE.txt",
        "hunyuan-portrait/Notice",
        "stable-video-diffusion/License.md",
    }
    assert (tmp_path / "model" / "LICENSE").read_text() == "Tencent's terms\n"


def test_they_are_found_in_the_folder_above_where_that_one_was_named(tmp_path):
    """As of two files of a name only the nearer one's can be taken, also where a disk knows no case."""
    inner = fill(tmp_path / "home" / "hyportrait", LICENSE="inner")
    home = fill(tmp_path / "home", license="outer", NOTICE__txt="outer", LICENCE__md="outer", arcface__onnx="")
    found = find_licences([inner, home], fill(tmp_path / "svd"))
    assert found == {
        "licences/hunyuan-portrait/LICENSE": inner / "LICENSE",
        "licences/hunyuan-portrait/NOTICE.txt": home / "NOTICE.txt",
        "licences/hunyuan-portrait/LICENCE.md": home / "LICENCE.md",
    }


def test_the_notice_says_what_was_changed_and_repeats_the_sources(originals, tmp_path):
    make_folder(originals, tmp_path / "model")
    notice = (tmp_path / "model" / "NOTICE").read_text()
    assert re.search(
        r"are not the files that were published: diffusers-hunyuan-portrait \d\S* has changed", notice
    )
    assert "licences/hunyuan-portrait/Notice, word for word:\n\nTencent's notice\n" in notice
    for repository in ("tencent/HunyuanPortrait", "stabilityai/stable-video-diffusion-img2vid-xt"):
        assert repository in notice


def test_a_notice_in_another_encoding_is_no_obstacle(originals, tmp_path):
    (originals[0][0] / "Notice").write_bytes("Tencent’s".encode("cp1252"))
    make_folder(originals, tmp_path / "model")
    carried = tmp_path / "model" / "licences" / "hunyuan-portrait" / "Notice"
    assert carried.read_bytes() == "Tencent’s".encode("cp1252")  # this one to the byte


def test_every_part_stands_in_the_table_with_a_licence_that_is_linked(originals, tmp_path):
    folder = tmp_path / "model"
    _, _, *rows = tables(make_folder(originals, folder))
    links = [re.findall(r"\]\((.*?)\)", cells[3]) for cells in rows]
    assert [re.search(r"\[(.*?)\]", cells[0])[1] for cells in rows] == [
        "tencent/HunyuanPortrait",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "facebook/dinov2-with-registers-large",
    ]
    for terms, cells in zip(["Academic use only", "non-commercial", "Free use"], rows, strict=True):
        assert re.search(r"\]\(https://", cells[1])
        assert terms in cells[2]
    assert [len(files) for files in links] == [2, 1, 0]
    assert all((folder / file).is_file() for files in links for file in files)
    (folder / "id_encoder").mkdir()
    (folder / "id_encoder" / "arcface.onnx").write_bytes(b"onnx")
    write_card(folder, "lab/portraits")
    with_id = tables((folder / "README.md").read_text())
    assert len(with_id) == len(rows) + 3
    assert any("FoivosPar/Arc2Face" in cells[0] and "Non-commercial" in cells[2] for cells in with_id)


def test_a_licence_is_linked_whatever_its_name(originals, tmp_path):
    (originals[0][0] / "LICENCE (of [Tencent]) | ümlaut #1.md").write_text("More terms\n")
    folder = tmp_path / "model"
    card = make_folder(originals, folder)
    links = re.findall(r"\[((?:[^\]\\]|\\.)*)\]\((licences/[^\s()<>]*)\)", card)
    assert len(links) == 4
    for shown, link in links:
        assert (folder / unquote(link)).is_file()
        assert re.sub(r"\\(.)", r"\1", shown) == Path(unquote(link)).name
    assert "|" not in "".join(re.sub(r"\\.", "", shown) for shown, _ in links)


# -- What is pasted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lab/portraits", "out/my model", 'it\'s "mine"', r"C:\models\p", "größe"])
def test_a_name_or_path_is_pasted_as_it_is(name, originals, tmp_path):
    make_folder(originals, tmp_path / "model", name="first, with 'quotes'")
    update_card(tmp_path / "model", name)
    renamed = (tmp_path / "model" / "README.md").read_text()
    assert renamed == make_folder(originals, tmp_path / "other", name=name)
    (code,) = re.findall(r"```python\n(.*?)```", renamed, re.DOTALL)
    compile(code, "card", "exec")
    (literal,) = re.findall(r"from_pretrained\((.*?), dtype", code)
    assert eval(literal) == name
    command = renamed.split("```sh\n")[2].split("```")[0]
    assert shlex.split(command)[-2:] == ["--model", name]


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_a_variant_is_used_where_there_is_one(variant, originals, tmp_path):
    folder = tmp_path / "model"
    card = make_folder(originals, folder)
    assert "variant" not in card
    assert "torch.float16" in card
    (folder / "unet").mkdir()
    for shard in ("", "-00001-of-00002"):
        file = folder / "unet" / f"diffusion_pytorch_model.{variant}{shard}.safetensors"
        file.touch()
        write_card(folder, "lab/portraits")
        card = (folder / "README.md").read_text()
        assert f'dtype=dtype, variant="{variant}")' in card
        assert {"fp16": "torch.float16", "bf16": "torch.bfloat16"}[variant] in card
        file.unlink()


def test_uses_and_misuses_are_told(originals, tmp_path):
    card = make_folder(originals, tmp_path / "model")
    for heading in ("How to use it", "Licences", "Intended use", "Misuse", "Limitations"):
        assert f"\n## {heading}\n" in card
    assert "without their consent" in card
    assert "deepfakes" in card
