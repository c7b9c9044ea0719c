"""Every form of a URL or address that a callback must not go to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.addresses import RefusedUrl, check_addresses, is_public, read_url


@pytest.mark.parametrize(
    "url",
    [
        "https://receiver.example.org/hook",
        "https://receiver.example.org:8443/hook?case=1&x=%20",
        "https://RECEIVER.example.org",
        "https://xn--bcher-kva.example/",
        "https://a.b.c.d.example.museum:1024/",
    ],
)
def test_a_plain_https_url_passes(url: str) -> None:
    target = read_url(url, http_loopback=False)
    assert target.scheme == "https"
    assert read_url(target.url, http_loopback=False) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "receiver.example.org",
        "//receiver.example.org/",
        "ftp://receiver.example.org/",
        "file:///etc/passwd",
        "gopher://receiver.example.org/",
        "javascript://receiver.example.org/",
        "http://receiver.example.org/",
        "http://localhost/",
        "http://127.0.0.1:8080/",
        "https:receiver.example.org/",
        "https:///receiver.example.org/",
        "https://user@receiver.example.org/",
        "https://user:password@receiver.example.org/",
        "https://receiver.example.org:443@evil.example/",
        "https://receiver.example.org/#fragment",
        "https://receiver.example.org#@evil.example/",
        "https://receiver.example.org\\@evil.example/",
        "https://receiver.example.org/a b",
        "https://receiver.example.org/\r\nHost: evil",
        "https://receiver.example.org/\n",
        " https://receiver.example.org/",
        "https://receiver.example.org/%zz",
        "https://receiver.example.org/\x00",
        "https://b\u00fccher.example/",
        "https://receiver\u3002example\u3002org/",
        "https://\u2460.example.org/",
        "https://receiver.example.org:0/",
        "https://receiver.example.org:22/",
        "https://receiver.example.org:80/",
        "https://receiver.example.org:1023/",
        "https://receiver.example.org:65536/",
        "https://receiver.example.org:/",
        "https://receiver.example.org:-1/",
        "https://receiver.example.org:4_43/",
        "https://receiver.example.org./",
        "https://.example.org/",
        "https://receiver..example.org/",
        "https://-a.example.org/",
        "https://a-.example.org/",
        "https://under_score.example.org/",
        "https://" + "a" * 64 + ".example.org/",
        "https://" + "a." * 130 + "org/",
        "https://receiver.example.org/" + "a" * 1000,
        "https://localhost/",
        "https://LOCALHOST:8443/",
        "https://localhost.localdomain/",
        "https://foo.localhost/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.lan/",
        "https://intranet/",
        "https://hidden.onion/",
        "https://1.0.0.127.in-addr.arpa/",
        # Addresses, in every way of writing one that some resolver understands.
        "https://127.0.0.1/",
        "https://93.184.215.14/",
        "https://127.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://0x7F.1/",
        "https://127.0.0.0x1/",
        "https://1.2.3.0x/",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
@pytest.mark.parametrize("http_loopback", [False, True])
def test_any_other_url_is_refused_and_not_repeated(url: str, http_loopback: bool) -> None:
    if http_loopback and url in ("http://localhost/", "http://127.0.0.1:8080/"):
        url += "#"  # allowed as it is
    with pytest.raises(RefusedUrl) as refused:
        read_url(url, http_loopback=http_loopback)
    assert "example" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:9000/", "http://127.0.0.1:9000/hook", "http://[::1]:9000/"]
)
def test_plain_http_to_this_machine_needs_the_setting(url: str) -> None:
    assert read_url(url, http_loopback=True).scheme == "http"
    with pytest.raises(RefusedUrl):
        read_url(url, http_loopback=False)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.2:9000/", "http://localhost.example.org:9000/", "http://10.0.0.1:9000/"],
)
def test_plain_http_to_any_other_host_is_refused_with_the_setting_too(url: str) -> None:
    with pytest.raises(RefusedUrl):
        read_url(url, http_loopback=True)


@given(st.text(max_size=60).map(lambda rest: "https://" + rest))
def test_what_passes_has_one_meaning(url: str) -> None:
    """The host that is read is the host that another reader of the URL would call."""
    from urllib.parse import urlsplit

    try:
        target = read_url(url, http_loopback=False)
    except RefusedUrl:
        return
    assert urlsplit(target.url).hostname == target.host
    assert urlsplit(url).hostname == target.host


PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450::1"]
PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2a00:1450::5efe:10.0.0.1",
    "2a00:1450::200:5efe:10.0.0.1",
    "2a00:1450::5efe:8.8.8.8",
    "2a00:1450:1:2:100:5efe:192.168.0.1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2a00:1450::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "",
    "localhost",
    "8.8.8",
    "010.8.8.8",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_every_other_address_is_not(address: str) -> None:
    assert not is_public(address)
    target = read_url("https://receiver.example.org/", http_loopback=True)
    with pytest.raises(RefusedUrl):
        check_addresses(target, [PUBLIC[0], address])


def test_a_name_without_an_address_leads_nowhere() -> None:
    target = read_url("https://receiver.example.org/", http_loopback=True)
    with pytest.raises(RefusedUrl):
        check_addresses(target, [])


def test_plain_http_goes_to_this_machine_only_whatever_its_name_says() -> None:
    target = read_url("http://localhost:9000/", http_loopback=True)
    assert check_addresses(target, ["127.0.0.1", "::1"]) == ["127.0.0.1", "::1"]
    for address in (PUBLIC[0], "10.0.0.1", "127.0.0.2", "::ffff:127.0.0.1"):
        with pytest.raises(RefusedUrl):
            check_addresses(target, [address])
