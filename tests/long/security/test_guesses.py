"""Password guesses and full houses, in short; the files are apart so that they run side by side."""

from tests.long.security.short_form import run_script


def test_guesses_are_few():
    result = run_script("password_guesses")
    assert 0 < result["most guesses a connection"] <= 3
    assert result["guesses judged, this address"] <= 60
    assert result["right password, another address"].startswith("235")


def test_a_full_house_says_so_and_recovers():
    result = run_script("full_house")
    assert result["over the limit: first words"]["421 4.7.0"] > 0
    assert result["no file left: first words"]["421 4.7.0"] > 0
    assert result["no file left: lines that say so"] > 0
    for name in ("over the limit", "64 files", "no file left"):
        assert result[f"{name}: log lines/s"] <= 10
        assert result[f"{name}: normal after s"] < 60
