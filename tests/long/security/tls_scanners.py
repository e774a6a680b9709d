"""What sslyze (PyPI) and testssl.sh (Debian) find at the modern listener; TLS 1.0 at the legacy one.

    pip install sslyze; apt-get install testssl.sh
    python -m tests.long.security.tls_scanners [--short] [--json]

The certificate is one that this script makes, so what the scanners say of certificates is about it and
not about the relay, and is left out: not trusted, no revocation list, how long it is valid.
--sslyze COMMAND and --testssl COMMAND are taken from $SSLYZE and $TESTSSL.
"""

import json
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import warnings
from pathlib import Path

from tests.long.security.harness import main, relay

_ABOVE_LOW = ("MEDIUM", "HIGH", "CRITICAL")
# About the made-up certificate, or about scanning itself.
_CERTIFICATE = ("cert", "overall_grade", "grade_cap_reason", "final_score", "DNS_CAArecord", "scanProblem")


def run_testssl(port, *, starttls, short):
    program = os.environ.get("TESTSSL") or shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        words = [program, "--quiet", "--color", "0", "--warnings", "batch", "--jsonfile", str(report)]
        words += ["--protocols"] if short else []
        words += (["-t", "smtp"] if starttls else []) + [f"127.0.0.1:{port}"]
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=550, check=False)
        found = json.loads(report.read_text())
    return {
        "checks": len(found),
        "above low": [
            f"{x['id']}: {x['severity']}: {x['finding']}"
            for x in found
            if x["severity"] in _ABOVE_LOW and not x["id"].startswith(_CERTIFICATE)
        ],
    }


def run_sslyze(port, *, starttls):
    program = os.environ.get("SSLYZE") or shutil.which("sslyze")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        words = [program, "--json_out", str(report), "--mozilla_config", "intermediate"]
        words += (["--starttls", "smtp"] if starttls else []) + [f"localhost:{port}"]
        subprocess.run(words, capture_output=True, timeout=300, check=False)
        (server,) = json.loads(report.read_text())["server_scan_results"]
    found = []
    for name, result in server["scan_result"].items():
        found += _judge(name, result["result"]) if result["status"] == "COMPLETED" else []
    return {"checks": len(server["scan_result"]), "above low": found}


def _judge(name, result):
    """What of sslyze's result is more than a remark."""
    if name in (
        "ssl_2_0_cipher_suites",
        "ssl_3_0_cipher_suites",
        "tls_1_0_cipher_suites",
        "tls_1_1_cipher_suites",
    ):
        return [f"{name} accepted"] if result["accepted_cipher_suites"] else []
    weak = {
        "heartbleed": ("is_vulnerable_to_heartbleed",),
        "openssl_ccs_injection": ("is_vulnerable_to_ccs_injection",),
        "tls_compression": ("supports_compression",),
        "session_renegotiation": ("is_vulnerable_to_client_renegotiation_dos",),
    }
    found = [f"{name}: {key}" for key in weak.get(name, ()) if result.get(key)]
    if name == "session_renegotiation" and not result["supports_secure_renegotiation"]:
        found.append("no secure renegotiation")
    if name == "robot" and "NOT_VULNERABLE" not in result["robot_result"]:
        found.append(f"robot: {result['robot_result']}")
    if name == "tls_1_2_cipher_suites":
        found += [
            f"weak cipher {c['cipher_suite']['name']}"
            for c in result["accepted_cipher_suites"]
            if "GCM" not in c["cipher_suite"]["name"] and "CHACHA20" not in c["cipher_suite"]["name"]
        ]
    return found


def send_by_tls_one(port):
    """Whether a client that has TLS 1.0 only sends; the version that was agreed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.starttls(context=context)
            version = client.sock.version()
            client.sendmail("a@example.com", "b@example.com", "Subject: x\r\n\r\nx")
    except (OSError, smtplib.SMTPException) as error:
        return str(error)
    return version


def measure(*, short=False):
    result = {}
    for tls in ("implicit", "starttls"):
        with relay(listener=f'tls = "{tls}"\n', tls=True) as running:
            starttls = tls == "starttls"
            if not short:
                result[f"sslyze, {tls}"] = run_sslyze(running.port, starttls=starttls)
            if not short or not starttls:
                result[f"testssl.sh, {tls}"] = run_testssl(running.port, starttls=starttls, short=short)
    for profile in ("legacy", "modern"):
        with relay(listener=f'tls = "starttls"\ntls_profile = "{profile}"\n', tls=True) as running:
            result[f"TLS 1.0 client, {profile}"] = send_by_tls_one(running.port)
    scans = [x for x in result.values() if isinstance(x, dict)]
    result["not installed"] = [name for name, x in result.items() if x is None]
    result["reached"] = (
        all(not x["above low"] and x["checks"] for x in scans)
        and result["TLS 1.0 client, legacy"] == "TLSv1"
        and result["TLS 1.0 client, modern"] != "TLSv1"
        and (short or not result["not installed"])
    )
    return result


if __name__ == "__main__":
    main(measure, __doc__.partition("\n")[0])
