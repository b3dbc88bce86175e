import pytest

from workers.models.checkpoint import find_checkpoint, read_config


@pytest.mark.parametrize("read", [read_config, lambda hub_id: find_checkpoint(hub_id, stem="model")])
def test_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch, read) -> None:  # type: ignore[no-untyped-def]
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("outgoing traffic is disabled\nlong explanation")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ValueError, match=r"cannot fetch someone/vae from the hub \(outgoing .*\) .* give its folder"
    ) as error:
        read("someone/vae")
    assert "\n" not in str(error.value)
