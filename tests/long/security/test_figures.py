"""The short form of each security script: the same measurement, bounded; memory and time are only told."""

import shutil

import pytest

from tests.long.security.short_form import run_script, skip_without


def test_no_cell_of_the_matrix_is_open():
    result = run_script("open_relay")
    assert result["not as configured"] == []
    assert result["open configurations loaded"] == []
    assert 0 < result["accepted"] < result["cells"]


def test_tls_scanners_find_nothing():
    """Without testssl.sh (Debian) the TLS 1.0 client is all there is."""
    result = run_script("tls_scanners")
    assert result["TLS 1.0 client, legacy"] == "TLSv1"
    assert result["TLS 1.0 client, modern"] != "TLSv1"
    assert result["reached"], result
    skip_without(result["not installed"])


def test_aiosmtpd_finds_its_own_commands_here():
    """Wants pytest-mock, pytest-timeout and aiosmtpd's source distribution."""
    result = run_script("aiosmtpd_suite")
    skip_without(result.get("not installed"))
    assert result["differ without a reason"] == []
    assert result["passed"] > 50


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_tight():
    assert run_script("unit_exposure")["reached"]
