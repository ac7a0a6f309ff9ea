from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

import ltsi.conf
from ltsi.errors import ConfigError
from ltsi.tables import Entry, Table
from ltsi.workflows.class_facts import read_class
from ltsi.workflows.models import names, run

CONF = Path(ltsi.conf.__file__).parent / "model"
MODELS = sorted(path.stem for path in CONF.glob("*.yaml"))


def rows(table: Table) -> dict[Entry, list[Entry]]:
    return {row[0]: list(row[1:]) for row in table.rows}


def about(name: str) -> dict[Entry, Entry]:
    return {key: value for key, (value,) in rows(run(name).tables[0]).items()}


def test_every_model_is_listed_with_its_first_line() -> None:
    what, keys = run().tables
    assert names() == MODELS == list(rows(what)) == list(rows(keys))
    assert rows(what)["popularity"][0] == (CONF / "popularity.yaml").read_text().splitlines()[0].removeprefix("# ")
    for name, (line, *_) in rows(what).items():
        assert line, name


def test_how_a_model_learns_is_read_from_its_class() -> None:
    learns = {name: by for name, (_, by, _) in rows(run().tables[0]).items()}
    assert learns["popularity"] == learns["ease"] == "counts"
    assert learns["mf"] == learns["item_knn"] == "library implicit"
    assert "gradients" in str(learns["lstm"])
    assert "gradients" not in str(learns["exp_decay"])
    assert str(learns["hybrid"]) == "counts, gradients, choice on the validation part"


def test_the_source_is_that_of_the_module() -> None:
    assert str(about("ease")["source"]).startswith('Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data"')
    assert "BPR: Bayesian Personalized Ranking" in str(about("mf")["source"])
    # The source's own lines are not those of the docstring.
    assert "\n" not in str(about("mf")["source"])


def test_keys_are_told_with_defaults_and_meanings() -> None:
    settings = rows(run("ease").tables[1])
    assert settings["model.l2"] == ["50.0", "Weight of the penalty, in users."]
    assert settings["model.half_life"][0] == "null"
    assert not {"model.n_items", "model.name", "model._target_"} & set(settings)
    keys = rows(run().tables[1])
    assert str(keys["transitions"][0]) == "steps=5 fade=0.5"
    assert str(keys["gru"][0]).endswith("model/items=tied")


def test_a_key_without_a_comment_means_what_its_class_says() -> None:
    settings = rows(run("lstm").tables[1])
    default, meaning = settings["model.dim"]
    assert default == "64"
    assert meaning == f"{(text := read_class('ltsi.models.lstm.Lstm').arguments['dim'])[0].upper()}{text[1:]}"
    assert settings["model.items.tied"][0] == "true"


def test_the_loss_that_a_model_brings_is_told() -> None:
    default, options = rows(run("sasrec").tables[2])["loss"]
    assert default == "bce"
    assert {"softmax", "sampled_softmax", "gbce"} < set(str(options).split(", "))
    assert "loss=bce" in str(rows(run().tables[1])["sasrec"][0])


@pytest.mark.parametrize("name", MODELS)
def test_every_key_and_every_part_can_be_set_as_it_is_told(name: str) -> None:
    _, settings, *parts = run(name).tables
    told = [f"{key}={default}" for table in (settings, *parts) for key, (default, _) in rows(table).items()]
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        plain = compose("train", [f"model={name}"])
        again = compose("train", [f"model={name}", *told])
    assert again.model == plain.model


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no model 'eese'\. Did you mean 'ease'\? Models: arima, bsarec"):
        run("eese")


def test_a_class_of_another_package_says_nothing() -> None:
    facts = read_class("torch.nn.Linear")
    assert facts.lineage == ()
    assert read_class("ltsi.models.ease.NoSuchClass").lineage == ()
