"""What notices say, in English, Japanese and Korean.

The reasons that the relay gives are English sentences. A notice says first in the reader's language what
kind of failure it was, by its status (RFC 3463), and then quotes the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from relay.outcome import TroubleKind


@dataclass(frozen=True, slots=True)
class Words:
    """One language's words; {…} are filled in."""

    relay: str
    not_sent: str
    greeting: str
    more: str
    kinds: Mapping[str, str]  # by the beginning of the status; "" is any other
    facts: Mapping[str, str]
    unknown: str
    kept: str
    attached: str
    fields_attached: str
    trouble: str
    trouble_text: str
    removed: str
    removed_text: str
    expiry: str
    expiry_text: str
    damage: str
    damage_text: str
    hold: str
    hold_text: str
    silence: str
    silence_text: str
    no_room: str
    no_room_text: str
    titles: Mapping[TroubleKind, str]  # of what has no text of its own
    other: str
    other_text: str


_ENGLISH = Words(
    relay="Mail relay",
    not_sent="Not sent: {subject}",
    greeting="This is an automatic message of the mail relay {hostname}. Your message was not sent to:",
    more="… and {more} more",
    kinds={
        "5.3.4": "The message is too large. Send it in parts, or scan with fewer pages or less dpi.",
        "5.4.7": "It was tried again and again for a long time, without success.",
        "5.1": "There is something wrong with an address.",
        "5.6": "The mail service does not take this message as it is.",
        "5.7": "It is not permitted.",
        "": "The mail service refused it.",
    },
    facts={
        "reason": "Reason",
        "status": "Status",
        "answer": "Answer of the service",
        "arrival": "Arrived",
        "last": "Last attempt",
        "attempts": "Attempts",
        "queue_id": "Queue id",
    },
    unknown="Some of these recipients may have got it all the same: the service gave no clear answer.",
    kept="Nothing more will be tried. The administrator can look at the message and send it again within "
    "{days} days:\n    sudo relay trace {queue_id}\n    sudo relay queue retry {queue_id}",
    attached="The message is attached.",
    fields_attached="The message is too large to be attached; its header fields are.",
    trouble="{hostname}: account {account} cannot send",
    trouble_text="The account {account} ({address}) cannot send:\n\n    {reason}\n\n"
    "Its mail is held, or will be as soon as its last access token ends. "
    "Nothing is lost and nothing bounces; when the trouble is over the mail goes out by "
    "itself, in order.\n\nLook at it:      sudo relay accounts\nConsent again:   sudo relay login {account}\n"
    "Since:           {since}",
    removed="{hostname}: mail waits for account {account}, which is not configured",
    removed_text="The account {account} is not in the configuration, and mail waits for it. This mail is not "
    "lost, but nothing sends it, and its senders have not been told.\n\n"
    "If it is to go out, put the account back into relay.toml and reload the relay.\n\n"
    "See it:          sudo relay queue list\nThrow it away:   sudo relay queue discard --account {account}\n"
    "Since:           {since}",
    expiry="{hostname}: account {account} must consent again within {days} days",
    expiry_text="The consent of the account {account} ({address}) ends on {date}. From then on its mail "
    "waits until somebody consents again.\n\nDo it now, it takes a minute:   sudo relay login {account}\n\n"
    "If you switch on refresh token rotation for the app in the Developer Console, this will not come back.",
    damage="{hostname}: something damaged was set aside",
    damage_text="The relay found something damaged where it keeps its mail, and set it aside:\n\n"
    "{names}\n\n"
    "It is kept, it holds up nothing else, and it is not sent by itself. What is found later is told in the "
    "next mail. Have a look at the disk.\n\n"
    "See all of it:   sudo relay queue list --state held\nWhat it means:   sudo relay help durability\n"
    "Since:           {since}",
    hold="{hostname}: mail waits for you",
    hold_text="The relay does not try this mail again by itself, because nobody knows what would come "
    "of it:\n\n"
    "{names}\n\n"
    "It is kept with its content. What is held later is told in the next mail.\n\n"
    "See all of it:   sudo relay queue list --state held\nLook at it:      sudo relay trace {name}\n"
    "Send it again:   sudo relay queue retry {name}\nThrow it away:   sudo relay queue discard {name}\n"
    "Since:           {since}",
    silence="{hostname}: a message failed, and its sender was not told",
    silence_text="This was refused for good or given up, and no notice to its sender could be made:\n\n"
    "{names}\n\n"
    "It is kept with its content for a while. What fails like it later is told in the next mail.\n\n"
    "See all of it:   sudo relay queue list --state failed\nLook at it:      sudo relay trace {name}\n"
    "Send it again:   sudo relay queue retry {name}\nSince:           {since}",
    no_room="{hostname}: new mail is refused",
    no_room_text="Devices and programs hear 452 or 451 and have to send again later:\n\n{reason}\n\n"
    "What was accepted before is safe, and goes on being sent. New mail is taken again by itself when "
    "this is over.\n\nLook at it:      sudo relay check\nSince:           {since}",
    titles={
        TroubleKind.UNVERIFIED: "nobody knows whose mailbox consented for {name}",
        TroubleKind.CERTIFICATE: "the certificate of {name} needs a person",
        TroubleKind.NOT_RELOADED: "the configuration on the disk cannot be used",
        TroubleKind.RESTART: "what changed in the configuration needs a restart",
        TroubleKind.OVER_LIMIT: "{name} sends more than it may",
        TroubleKind.CLOCK: "the clock was set",
        TroubleKind.CONVERTER: "large messages cannot be converted",
        TroubleKind.CONSOLE: "the console has no port",
        TroubleKind.ALERT: "a way of [alert] does not work: {name}",
        TroubleKind.NODE: "the node {name} needs a person",
        TroubleKind.NO_SENDER: "none of the nodes sends",
    },
    other="{hostname}: {title}",
    other_text="{title}:\n\n    {reason}\n\nWhat to do:      {remedy}\n"
    "See all of it:   sudo relay status\nSince:           {since}",
)
_JAPANESE = Words(
    relay="メールリレー",
    not_sent="送信できませんでした: {subject}",
    greeting="メールリレー {hostname} からの自動通知です。次の宛先にメールを送信できませんでした。",
    more="… ほか {more} 件",
    kinds={
        "5.3.4": "メールが大きすぎます。分割するか、ページ数や解像度を下げて送信してください。",
        "5.4.7": "長時間にわたり再送を繰り返しましたが、送信できませんでした。",
        "5.1": "宛先のアドレスに問題があります。",
        "5.6": "メールサービスがこの形式のメールを受け付けませんでした。",
        "5.7": "許可されていません。",
        "": "メールサービスが受け付けませんでした。",
    },
    facts={
        "reason": "理由",
        "status": "ステータス",
        "answer": "サービスの応答",
        "arrival": "受付日時",
        "last": "最後の試行",
        "attempts": "試行回数",
        "queue_id": "キューID",
    },
    unknown="サービスから明確な応答がなかったため、一部の宛先には届いている可能性があります。",
    kept="これ以上の再送は行いません。管理者は {days} 日以内であればメールを確認し、再送できます。\n"
    "    sudo relay trace {queue_id}\n    sudo relay queue retry {queue_id}",
    attached="元のメールを添付します。",
    fields_attached="元のメールは大きいため、ヘッダーのみを添付します。",
    trouble="{hostname}: アカウント {account} から送信できません",
    trouble_text="アカウント {account} ({address}) から送信できません。\n\n    {reason}\n\n"
    "このアカウントのメールは保留されます（アクセストークンが有効な間は送信されます）。失われることも、エラーで戻ることもありません。"
    "原因が解消されると、順番どおり自動的に送信されます。\n\n"
    "状態の確認:   sudo relay accounts\n再同意:       sudo relay login {account}\n発生日時:     {since}",
    removed="{hostname}: 設定にないアカウント {account} のメールが残っています",
    removed_text="アカウント {account} は設定にありませんが、このアカウントで送信するメールが残っています。"
    "失われてはいませんが送信されず、送信者にも通知されていません。\n\n"
    "送信するには、relay.toml にアカウントを戻してリレーの設定を再読み込みしてください。\n\n"
    "一覧:         sudo relay queue list\n破棄:         sudo relay queue discard --account {account}\n"
    "発生日時:     {since}",
    expiry="{hostname}: アカウント {account} はあと {days} 日以内に再同意が必要です",
    expiry_text="アカウント {account} ({address}) の同意は {date} に期限切れになります。"
    "その後は、再同意するまでメールが保留されます。\n\n今すぐ実行してください:   "
    "sudo relay login {account}\n\n"
    "Developer Console でアプリの Refresh Token Rotation を有効にすると、この通知は不要になります。",
    damage="{hostname}: 破損したデータを隔離しました",
    damage_text="メールの保存領域に破損したデータが見つかったため、隔離しました。\n\n{names}\n\n"
    "データは残されており、ほかのメールの送信には影響しませんが、自動では送信されません。"
    "以後に見つかったものは次回の通知でお知らせします。ディスクを確認してください。\n\n"
    "一覧:         sudo relay queue list --state held\n説明:         sudo relay help durability\n"
    "発生日時:     {since}",
    hold="{hostname}: 確認待ちのメールがあります",
    hold_text="次のメールは、再送した結果がどうなるか判断できないため、自動では再送されません。\n\n"
    "{names}\n\n"
    "メールは内容とともに保管されています。以後に保留されたものは次回の通知でお知らせします。\n\n"
    "一覧:         sudo relay queue list --state held\n詳細:         sudo relay trace {name}\n"
    "再送:         sudo relay queue retry {name}\n破棄:         sudo relay queue discard {name}\n"
    "発生日時:     {since}",
    silence="{hostname}: 送信失敗を送信者に通知できませんでした",
    silence_text="次のメールは送信できず、送信者への通知も作成できませんでした。\n\n"
    "{names}\n\n"
    "メールは内容とともに一定期間保管されます。以後の同様のメールは次回の通知でお知らせします。\n\n"
    "一覧:         sudo relay queue list --state failed\n詳細:         sudo relay trace {name}\n"
    "再送:         sudo relay queue retry {name}\n発生日時:     {since}",
    no_room="{hostname}: 新しいメールを受け付けられません",
    no_room_text="機器やプログラムには 452 または 451 が返され、後で再送する必要があります。\n\n{reason}\n\n"
    "すでに受け付けたメールは安全に保管されており、送信は続きます。解消すると受け付けは自動で再開します。\n\n"
    "確認:         sudo relay check\n発生:         {since}",
    titles={
        TroubleKind.UNVERIFIED: "{name} の同意がどのメールボックスのものか確認されていません",
        TroubleKind.CERTIFICATE: "{name} の証明書の確認が必要です",
        TroubleKind.NOT_RELOADED: "ディスク上の設定を読み込めません",
        TroubleKind.RESTART: "設定の変更を反映するには再起動が必要です",
        TroubleKind.OVER_LIMIT: "{name} からの送信が上限を超えました",
        TroubleKind.CLOCK: "時計が変更されました",
        TroubleKind.CONVERTER: "大きなメールを変換できません",
        TroubleKind.CONSOLE: "コンソールのポートを使えません",
        TroubleKind.ALERT: "[alert] の通知方法が機能していません: {name}",
        TroubleKind.NODE: "ノード {name} の確認が必要です",
        TroubleKind.NO_SENDER: "送信しているノードがありません",
    },
    other="{hostname}: {title}",
    other_text="{title}。\n\n    {reason}\n\n対処:         {remedy}\n"
    "全体の状態:   sudo relay status\n発生:         {since}",
)
_KOREAN = Words(
    relay="메일 릴레이",
    not_sent="발송 실패: {subject}",
    greeting="메일 릴레이 {hostname}의 자동 알림입니다. 다음 수신자에게 메일을 보내지 못했습니다.",
    more="… 외 {more}건",
    kinds={
        "5.3.4": "메일이 너무 큽니다. 나누어 보내거나 페이지 수 또는 해상도를 낮추어 주세요.",
        "5.4.7": "오랫동안 반복해서 시도했지만 보내지 못했습니다.",
        "5.1": "주소에 문제가 있습니다.",
        "5.6": "메일 서비스가 이 형식의 메일을 받지 않았습니다.",
        "5.7": "허용되지 않았습니다.",
        "": "메일 서비스가 거부했습니다.",
    },
    facts={
        "reason": "사유",
        "status": "상태 코드",
        "answer": "서비스 응답",
        "arrival": "접수 시각",
        "last": "마지막 시도",
        "attempts": "시도 횟수",
        "queue_id": "큐 ID",
    },
    unknown="서비스의 응답이 분명하지 않아 일부 수신자에게는 전달되었을 수 있습니다.",
    kept="더 이상 시도하지 않습니다. 관리자는 {days}일 안에 메일을 확인하고 다시 보낼 수 있습니다.\n"
    "    sudo relay trace {queue_id}\n    sudo relay queue retry {queue_id}",
    attached="원본 메일을 첨부합니다.",
    fields_attached="원본이 커서 헤더만 첨부합니다.",
    trouble="{hostname}: 계정 {account}에서 메일을 보낼 수 없습니다",
    trouble_text="계정 {account} ({address})에서 메일을 보낼 수 없습니다.\n\n    {reason}\n\n"
    "이 계정의 메일은 보류됩니다(액세스 토큰이 유효한 동안은 발송됩니다). "
    "유실되거나 반송되지 않으며, 문제가 해결되면 "
    "순서대로 자동 발송됩니다.\n\n"
    "상태 확인:   sudo relay accounts\n다시 동의:   sudo relay login {account}\n발생 시각:   {since}",
    removed="{hostname}: 설정에 없는 계정 {account}의 메일이 남아 있습니다",
    removed_text="계정 {account}은(는) 설정에 없지만 이 계정으로 보낼 메일이 남아 있습니다. "
    "유실되지는 않았지만 발송되지 않으며, 발신자에게도 알리지 않았습니다.\n\n"
    "보내려면 relay.toml에 계정을 다시 넣고 릴레이 설정을 다시 불러오세요.\n\n"
    "전체 보기:   sudo relay queue list\n버리기:      sudo relay queue discard --account {account}\n"
    "발생 시각:   {since}",
    expiry="{hostname}: 계정 {account}은(는) {days}일 안에 다시 동의해야 합니다",
    expiry_text="계정 {account} ({address})의 동의가 {date}에 만료됩니다. 이후에는 다시 동의할 때까지 메일이 "
    "보류됩니다.\n\n지금 실행하세요:   sudo relay login {account}\n\n"
    "Developer Console에서 앱의 Refresh Token Rotation을 켜면 이 알림은 더 이상 오지 않습니다.",
    damage="{hostname}: 손상된 데이터를 격리했습니다",
    damage_text="메일 저장 공간에서 손상된 데이터를 발견하여 격리했습니다.\n\n{names}\n\n"
    "데이터는 보관되며 다른 메일의 발송에는 영향이 없지만, 자동으로 발송되지는 않습니다. "
    "이후에 발견된 것은 다음 알림에서 알려 드립니다. 디스크를 확인하세요.\n\n"
    "전체 보기:   sudo relay queue list --state held\n설명:        sudo relay help durability\n"
    "발생 시각:   {since}",
    hold="{hostname}: 확인을 기다리는 메일이 있습니다",
    hold_text="다음 메일은 다시 보내면 어떻게 될지 알 수 없어 자동으로 다시 보내지 않습니다.\n\n"
    "{names}\n\n"
    "메일은 내용과 함께 보관됩니다. 이후에 보류된 메일은 다음 알림에서 알려 드립니다.\n\n"
    "전체 보기:   sudo relay queue list --state held\n자세히:      sudo relay trace {name}\n"
    "다시 보내기: sudo relay queue retry {name}\n버리기:      sudo relay queue discard {name}\n"
    "발생 시각:   {since}",
    silence="{hostname}: 발송 실패를 보낸 사람에게 알리지 못했습니다",
    silence_text="다음 메일은 보내지 못했고, 보낸 사람에게 보낼 알림도 만들 수 없었습니다.\n\n"
    "{names}\n\n"
    "메일은 내용과 함께 한동안 보관됩니다. 이후 같은 메일은 다음 알림에서 알려 드립니다.\n\n"
    "전체 보기:   sudo relay queue list --state failed\n자세히:      sudo relay trace {name}\n"
    "다시 보내기: sudo relay queue retry {name}\n발생 시각:   {since}",
    no_room="{hostname}: 새 메일을 받지 못하고 있습니다",
    no_room_text="장치와 프로그램은 452 또는 451 응답을 받으며 나중에 다시 보내야 합니다.\n\n{reason}\n\n"
    "이미 받은 메일은 안전하게 보관되어 있으며 계속 발송됩니다. 해결되면 자동으로 다시 받습니다.\n\n"
    "확인:        sudo relay check\n발생:        {since}",
    titles={
        TroubleKind.UNVERIFIED: "{name} 의 동의가 어느 메일함의 것인지 확인되지 않았습니다",
        TroubleKind.CERTIFICATE: "{name} 의 인증서를 확인해야 합니다",
        TroubleKind.NOT_RELOADED: "디스크의 설정을 읽을 수 없습니다",
        TroubleKind.RESTART: "설정 변경을 적용하려면 재시작이 필요합니다",
        TroubleKind.OVER_LIMIT: "{name} 의 발송이 한도를 넘었습니다",
        TroubleKind.CLOCK: "시계가 변경되었습니다",
        TroubleKind.CONVERTER: "큰 메일을 변환할 수 없습니다",
        TroubleKind.CONSOLE: "콘솔 포트를 사용할 수 없습니다",
        TroubleKind.ALERT: "[alert] 알림 방법이 작동하지 않습니다: {name}",
        TroubleKind.NODE: "노드 {name}의 확인이 필요합니다",
        TroubleKind.NO_SENDER: "보내는 노드가 없습니다",
    },
    other="{hostname}: {title}",
    other_text="{title}.\n\n    {reason}\n\n조치:        {remedy}\n"
    "전체 상태:   sudo relay status\n발생:        {since}",
)
LANGUAGES: Mapping[str, Words] = {"en": _ENGLISH, "ja": _JAPANESE, "ko": _KOREAN}


def kind(words: Words, status: str) -> str:
    """The kind of failure, in plain words."""
    return next(text for start, text in words.kinds.items() if status.startswith(start))
