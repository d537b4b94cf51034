"""What TLS lets in when nobody has chosen anything: sslyze and openssl look from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support import needed
from tests.support.certificates import Authority, Issued
from tests.support.real_server import DEADLINE, Running

AUTHORITY = Authority()
KINDS = {
    "ECDSA": AUTHORITY.issue("localhost"),
    "RSA": AUTHORITY.issue("localhost", private=rsa.generate_private_key(65537, 2048)),
}
SSLYZE = "sslyze >= 6.1, < 7"
INSTALL_SECONDS = 300
CHECKS = [
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--compression",
    "--reneg",
    "--heartbleed",
    "--openssl_ccs",
    "--early_data",
    "--robot",
    "--fallback",
    "--ems",
]
REFUSED = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]


@pytest.fixture(scope="module")
def sslyze(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program; it wants an older `cryptography` than the server gets, so it lives alone."""
    found = shutil.which("sslyze")
    if found is not None:
        return found
    folder = tmp_path_factory.mktemp("sslyze")
    venv.create(folder, with_pip=True)
    done = subprocess.run(
        [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", SSLYZE],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        sentence = f"sslyze cannot be had: `pip install '{SSLYZE}'` says {done.stderr[-300:]}"
        if "CI" in os.environ:
            pytest.fail(sentence)
        pytest.skip(sentence)
    return str(folder / "bin" / "sslyze")


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(kind: str, server: Callable[..., Running], tmp_path: Path) -> Running:
    """Nothing but a certificate is chosen."""
    issued: Issued = KINDS[kind]
    certificate = issued.write_both(tmp_path / "site.pem")
    return server("secured:application", "-v", "2", "--tls-certificate", certificate)


class TestDefaults:
    """No TLS below 1.2, no weak cipher, no compression, no renegotiation."""

    @pytest.fixture
    def scanned(self, sslyze: str, running: Running, tmp_path: Path) -> dict[str, Any]:
        """What sslyze found, by the name of its check."""
        output = tmp_path / "found.json"
        address = f"{running.host}:{running.port}"
        done = subprocess.run(
            [sslyze, *CHECKS, "--mozilla_config=disable", f"--json_out={output}", address],
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE,
            check=False,
        )
        assert output.exists(), done.stdout + done.stderr
        (scan,) = json.loads(output.read_text())["server_scan_results"]
        assert scan["connectivity_status"] == "COMPLETED"
        return {name: found["result"] for name, found in scan["scan_result"].items() if found}

    def test_sslyze(self, scanned: dict[str, Any], kind: str, running: Running) -> None:
        """RFC 9325, 3 and 4: versions, ciphers, and the known holes of TLS libraries."""

        def accepted(version: str) -> set[str]:
            suites = scanned[f"{version}_cipher_suites"]["accepted_cipher_suites"]
            return {suite["cipher_suite"]["name"] for suite in suites}

        assert {version: accepted(version) for version in REFUSED} == {
            version: set() for version in REFUSED
        }
        assert accepted("tls_1_2") == {
            f"TLS_ECDHE_{kind}_WITH_AES_128_GCM_SHA256",
            f"TLS_ECDHE_{kind}_WITH_AES_256_GCM_SHA384",
            f"TLS_ECDHE_{kind}_WITH_CHACHA20_POLY1305_SHA256",
        }
        assert accepted("tls_1_3") == {
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
        }
        renegotiation = scanned["session_renegotiation"]
        assert {
            "compression": scanned["tls_compression"]["supports_compression"],
            "renegotiation": renegotiation["is_vulnerable_to_client_renegotiation_dos"],
            "heartbleed": scanned["heartbleed"]["is_vulnerable_to_heartbleed"],
            "CCS injection": scanned["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"],
            "early data": scanned["tls_1_3_early_data"]["supports_early_data"],
        } == dict.fromkeys(
            ["compression", "renegotiation", "heartbleed", "CCS injection", "early data"], False
        )
        assert renegotiation["supports_secure_renegotiation"]
        assert scanned["robot"]["robot_result"].startswith("NOT_VULNERABLE")
        assert scanned["tls_fallback_scsv"]["supports_fallback_scsv"]
        assert scanned["tls_extended_master_secret"]["supports_ems_extension"]
        # A thousand strange handshakes later nothing has gone wrong that is not a line of DEBUG.
        assert "ERROR" not in running.log

    def test_every_cipher_of_openssl(self, running: Running, kind: str) -> None:
        """One by one, at the lowest security level: with TLS 1.2 these three and no other."""
        openssl = needed.program("openssl", "openssl")
        listed = subprocess.run(
            [openssl, "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        ).stdout
        ciphers = listed.strip().split(":")
        assert "AES128-SHA" in ciphers

        def is_accepted(cipher: str) -> bool:
            done = subprocess.run(
                [openssl, "s_client", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0",
                 "-connect", f"{running.host}:{running.port}"],
                input="", capture_output=True, text=True, timeout=DEADLINE, check=False,
            )  # fmt: skip
            return f"Cipher is {cipher}" in done.stdout

        with ThreadPoolExecutor(2) as threads:
            answers = dict(zip(ciphers, threads.map(is_accepted, ciphers), strict=True))
        assert {cipher for cipher, accepted in answers.items() if accepted} == {
            f"ECDHE-{kind}-AES128-GCM-SHA256",
            f"ECDHE-{kind}-AES256-GCM-SHA384",
            f"ECDHE-{kind}-CHACHA20-POLY1305",
        }
