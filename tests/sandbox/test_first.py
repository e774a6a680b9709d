async def test_a_mail_is_accepted_with_202_and_no_body(works):
    answer = await works.send()
    assert (answer.status_code, answer.content) == (202, b"")
    (message,) = await works.accepted()
    assert message["account"] == "scanner@example.com"
    assert message["request"]["subject"] == "Scan"
