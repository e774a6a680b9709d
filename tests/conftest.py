"""What all tests share."""


def pytest_addoption(parser):
    parser.addoption(
        "--bless", action="store_true", help="rewrite tests/golden/*.json from what the code does now"
    )
