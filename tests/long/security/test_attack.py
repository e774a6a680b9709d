"""The attacks, small and short: an honest client is served beside each, and memory stays bounded."""

from tests.long.security import attack


def test_an_honest_client_is_served_beside_every_attack():
    found = attack.run(connections=50, seconds=0.5)
    assert set(found) == set(attack.ATTACKS)
    idle = found["nobody"][1]
    assert all(memory < idle + 100 * 2**20 for _, memory in found.values()), found
