"""The text of the sample mail: a small company's last three months."""

from __future__ import annotations

from functools import cache

import msgspec

from gateway_sandbox.directory import ALICE, BOB, CAROL, DAVE, SUPPORT, Person
from gateway_sandbox.sample_files import File, pdf, picture

DAY = 24.0


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One sample message, before it has a date.

    Attributes:
        key: names it; its Message-ID is made of it.
        hours: how long ago it was sent, counted from the first start.
        sender: name and address.
        answers: key of the letter this is a reply to.
        forwards: key of the letter that it carries as an attachment.
        charset: of the text, and of subject and sender's name when they are not ASCII.
        unsubscribe: for a newsletter, the address of its List-Unsubscribe field (RFC 2369, RFC 8058).
        folder: where recipients find it.
        flagged: whether recipients have marked it.
    """

    key: str
    hours: float
    sender: tuple[str, str]
    to: tuple[str, ...]
    subject: str
    text: str
    cc: tuple[str, ...] = ()
    answers: str | None = None
    forwards: str | None = None
    html: str | None = None
    charset: str = "utf-8"
    files: tuple[File, ...] = ()
    unsubscribe: str | None = None
    folder: str = "INBOX"
    flagged: bool = False


def _from(person: Person) -> tuple[str, str]:
    return person.name, person.address


_A, _B, _C = ALICE.address, BOB.address, CAROL.address
_EVERYBODY = (_A, _B, _C)
_TAILSPIN = ("Tailspin Billing", "billing@tailspin.example")
_FABRIKAM = ("Fabrikam Travel", "bookings@fabrikam.example")
_NORTHWIND = ("Northwind Weekly", "news@northwind.example")
_CODE = ("Code Review", "notifications@code.example")
_LITWARE = ("田中 由紀", "yuki.tanaka@litware.example")
_WINGTIP = ("张伟", "zhang.wei@wingtip.example")
_ADATUM = ("Jürgen Müller", "juergen.mueller@adatum.example")


def _thread() -> list[Letter]:
    """A conversation of the three about a product launch."""
    first = "Launch plan for the Aurora desk lamp"
    return [
        Letter(
            key="aurora-1",
            hours=41 * DAY,
            sender=_from(ALICE),
            to=(_B, _C),
            subject=first,
            text="Hi both,\n\nI would like to launch Aurora on the first Tuesday of next month. Draft plan:\n\n"
            "  - Bob: final samples to the photographer by Friday\n  - Carol: price list and shop texts\n"
            "  - me: announcement to partners\n\nDoes that work for you?\n\nAlice\n",
        ),
        Letter(
            key="aurora-2",
            hours=40.8 * DAY,
            sender=_from(BOB),
            to=(_A,),
            cc=(_C,),
            subject=f"Re: {first}",
            answers="aurora-1",
            text="Friday is tight but doable if the anodised parts arrive tomorrow.\n\nBob\n\n"
            "> I would like to launch Aurora on the first Tuesday of next month.\n",
        ),
        Letter(
            key="aurora-3",
            hours=40.1 * DAY,
            sender=_from(CAROL),
            to=(_A, _B),
            subject=f"Re: {first}",
            answers="aurora-2",
            text="Price list attached. I left the EU column open until we know the duty.\n\nCarol\n",
            files=(pdf("Aurora price list.pdf", ["Aurora desk lamp", "Net price list, draft 3", "Unit: 84.00"]),),
            flagged=True,
        ),
        Letter(
            key="aurora-4",
            hours=39.7 * DAY,
            sender=_from(ALICE),
            to=(_C, _B),
            subject=f"Re: {first}",
            answers="aurora-3",
            text="Thanks Carol, perfect. I will ask the forwarder about the duty.\n\nAlice\n",
        ),
        Letter(
            key="aurora-5",
            hours=5 * DAY,
            sender=_from(BOB),
            to=(_A, _C),
            subject="Aurora photos",
            text="The photographer sent the first picture. The others follow on a link, they are huge.\n\nBob\n",
            files=(picture("aurora-hero.png", 300, 235, grain=255),),
        ),
        Letter(
            key="aurora-6",
            hours=30,
            sender=_from(CAROL),
            to=(_A, _B),
            subject="Re: Aurora photos",
            answers="aurora-5",
            text="Love it! Can we have one with the lamp switched off as well?\n\nCarol\n",
        ),
        Letter(
            key="aurora-7",
            hours=3,
            sender=_from(BOB),
            to=(_C, _A),
            subject="Re: Aurora photos",
            answers="aurora-6",
            text="Asked him. Tomorrow morning, he says.\n\nBob\n",
        ),
    ]


def _customers() -> list[Letter]:
    """Mail from abroad, in the character sets that old systems still use."""
    return [
        Letter(
            key="litware-1",
            hours=33 * DAY,
            sender=_LITWARE,
            to=(_A,),
            cc=(_B, _C),
            charset="iso-2022-jp",
            subject="お見積もりのお願い",
            text="アリス様\n\nいつもお世話になっております。\nデスクランプ200台のお見積もりをお願いいたします。\n\n"
            "リットウェア株式会社\n田中 由紀\n",
            flagged=True,
        ),
        Letter(
            key="litware-2",
            hours=32 * DAY,
            sender=_from(ALICE),
            to=(_LITWARE[1],),
            cc=(_B,),
            subject="Re: お見積もりのお願い",
            answers="litware-1",
            text="Dear Tanaka-san,\n\nthank you for your inquiry. The quotation is attached; it is valid for 30 days."
            "\n\nKind regards\nAlice Bergström\n",
            files=(pdf("Quotation 2041.pdf", ["Contoso Lighting", "Quotation 2041", "200 x Aurora desk lamp"]),),
        ),
        Letter(
            key="wingtip-1",
            hours=27 * DAY,
            sender=_WINGTIP,
            to=(_B,),
            cc=(_A, _C),
            charset="gb2312",
            subject="关于铝制零件的交货时间",
            text="鲍勃您好：\n\n铝制零件将于下周三发货，预计十天后到达。附件是装箱单。\n\n此致\n张伟\n",
            files=(pdf("packing-list.pdf", ["Packing list", "12 cartons, 186 kg"]),),
        ),
        Letter(
            key="adatum-1",
            hours=19 * DAY,
            sender=_ADATUM,
            to=(_C,),
            cc=(_A, _B),
            charset="iso-8859-1",
            subject="Rückfrage zur Rechnung für März",
            text="Sehr geehrte Frau Okafor,\n\nauf der letzten Rechnung fehlt die Umsatzsteuernummer. Könnten Sie bitte"
            " eine Korrektur schicken?\n\nMit freundlichen Grüßen\nJürgen Müller\n",
        ),
        Letter(
            key="adatum-2",
            hours=18.5 * DAY,
            sender=_from(CAROL),
            to=(_ADATUM[1],),
            cc=(_A,),
            subject="Re: Rückfrage zur Rechnung für März",
            answers="adatum-1",
            text="Guten Tag Herr Müller,\n\ndie korrigierte Rechnung liegt bei. Entschuldigung für die Umstände!\n\n"
            "Carol Okafor\n",
            files=(pdf("Rechnung-korrigiert.pdf", ["Contoso Lighting", "Rechnung 1187, korrigiert"]),),
        ),
        Letter(
            key="forwarded",
            hours=4 * DAY,
            sender=_from(ALICE),
            to=(_B, _C),
            subject="FW: お見積もりのお願い",
            forwards="litware-1",
            text="For the file: the inquiry that the big order came from. The original is attached.\n\nAlice\n",
        ),
    ]


def _machines() -> list[Letter]:
    """What machines send: newsletters, receipts, notifications, junk."""
    letters = []
    for week, (title, story) in enumerate(_NEWS):
        letters.append(
            Letter(
                key=f"northwind-{week}",
                hours=(3 + 14 * week) * DAY,
                sender=_NORTHWIND,
                to=_EVERYBODY,
                subject=f"Northwind Weekly: {title}",
                text=f"{title}\n\n{story}\n\nUnsubscribe: https://northwind.example/unsubscribe\n",
                html=_newsletter(title, story),
                files=(_logo(),),
                unsubscribe="https://northwind.example/unsubscribe",
            )
        )
    for number, month in enumerate(("this month", "last month", "two months ago")):
        letters.append(
            Letter(
                key=f"tailspin-{number}",
                hours=(8 + 30 * number) * DAY,
                sender=_TAILSPIN,
                to=_EVERYBODY,
                subject=f"Your Tailspin invoice for {month}",
                text="Hello,\n\nyour invoice is attached. It is paid by direct debit, there is nothing to do.\n\n"
                "Tailspin Billing\n",
                files=(pdf(f"invoice-{3310 - number}.pdf", ["Tailspin", f"Invoice {3310 - number}", "Total 49.00"]),),
            )
        )
    letters += [
        Letter(
            key="fabrikam-1",
            hours=14 * DAY,
            sender=_FABRIKAM,
            to=_EVERYBODY,
            subject="Booking confirmed: Stockholm – Lisbon ✈",
            text="Your booking K7Q2MX is confirmed.\n\nOut: Tue 07:35, back: Thu 19:10, one bag each.\n",
            html="<h1>Booking confirmed</h1><p>Reference <b>K7Q2MX</b></p>"
            "<table><tr><td>Out</td><td>Tue 07:35</td></tr><tr><td>Back</td><td>Thu 19:10</td></tr></table>",
            files=(pdf("itinerary.pdf", ["Fabrikam Travel", "Stockholm - Lisbon", "K7Q2MX"]),),
            flagged=True,
        ),
        Letter(
            key="code-1",
            hours=2.2 * DAY,
            sender=_CODE,
            to=_EVERYBODY,
            subject="[contoso/shop] Show stock per warehouse (#118)",
            text="bob requested your review on: contoso/shop#118 Show stock per warehouse\n\n+214 -37, 6 files\n",
        ),
        Letter(
            key="code-2",
            hours=1.4,
            sender=_CODE,
            to=_EVERYBODY,
            answers="code-1",
            subject="Re: [contoso/shop] Show stock per warehouse (#118)",
            text="@carol approved these changes.\n\nNice. One nit in the tooltip, merge when fixed.\n",
        ),
        Letter(
            key="junk-1",
            hours=6 * DAY,
            sender=("Prize Department", "winner@lucky.example"),
            to=_EVERYBODY,
            subject="You have been selected!!!",
            text="Dear winner, reply with your bank details to receive your prize.\n",
            folder="Junk Email",
        ),
        Letter(
            key="old-menu",
            hours=22 * DAY,
            sender=("Canteen", "canteen@contoso.example"),
            to=_EVERYBODY,
            subject="Menu of the week",
            text="Mon: lentil soup. Tue: pasta. Wed: curry. Thu: leftovers. Fri: fish.\n",
            folder="Deleted Items",
        ),
        Letter(
            key="handbook",
            hours=80 * DAY,
            sender=("People Team", "people@contoso.example"),
            to=_EVERYBODY,
            subject="Welcome to Contoso: your handbook",
            text="Everything you need for the first weeks is in the handbook. Ask us anything!\n",
            html="<p>Everything you need for the first weeks is in the <b>handbook</b>. Ask us anything!</p>",
            folder="Archive",
        ),
    ]
    return letters


def _offices() -> list[Letter]:
    """Shorter mail between two people, the shared mailbox and the mailbox outside."""
    return [
        Letter(
            key="lunch-1",
            hours=26,
            sender=_from(CAROL),
            to=(_A,),
            subject="Lunch tomorrow?",
            text="The new place at the harbour, 12:15?\n",
        ),
        Letter(
            key="lunch-2",
            hours=25.5,
            sender=_from(ALICE),
            to=(_C,),
            subject="Re: Lunch tomorrow?",
            answers="lunch-1",
            text="Yes please! 🍜\n",
        ),
        Letter(
            key="keys-1",
            hours=9.5 * DAY,
            sender=_from(BOB),
            to=(_C,),
            subject="Keys for the warehouse",
            text="They are with the caretaker, ask for the blue ring.\n",
        ),
        Letter(
            key="keys-2",
            hours=9.4 * DAY,
            sender=_from(CAROL),
            to=(_B,),
            subject="Re: Keys for the warehouse",
            answers="keys-1",
            text="Got them, thanks.\n",
        ),
        Letter(
            key="report-1",
            hours=11 * DAY,
            sender=_from(BOB),
            to=(_A,),
            subject="Numbers for the board",
            text="Draft attached. Please look at page 1, there is only page 1.\n",
            files=(pdf("board-numbers.pdf", ["Orders: 412", "Returns: 9", "Cash: fine"]),),
            flagged=True,
        ),
        Letter(
            key="ticket-1",
            hours=2 * DAY,
            sender=("Priya Shah", "priya@customers.example"),
            to=(SUPPORT.address,),
            subject="Lamp flickers at low brightness",
            text="Hello support,\n\nmy Aurora flickers below 20 %. Serial AU-00417. What can I do?\n\nPriya\n",
        ),
        Letter(
            key="ticket-2",
            hours=7,
            sender=("Tom Novák", "tom@customers.example"),
            to=(SUPPORT.address,),
            subject="Where is my order 5521?",
            text="Ordered two weeks ago, no tracking number yet.\n\nTom\n",
        ),
        Letter(
            key="plain-1",
            hours=12 * DAY,
            sender=_from(ALICE),
            to=(DAVE.address,),
            subject="Hello from Contoso",
            text="Hi Dave,\n\njust checking that mail between the two servers works.\n\nAlice\n",
        ),
        Letter(
            key="plain-2",
            hours=11.9 * DAY,
            sender=_from(DAVE),
            to=(_A,),
            subject="Re: Hello from Contoso",
            answers="plain-1",
            text="It does!\n\nDave\n",
        ),
    ]


_NEWS = (
    ("Ten chairs we like", "We sat on forty chairs so that you do not have to. Ten are worth your money."),
    ("Light in small rooms", "One lamp in the corner beats three on the ceiling. Here is why, with pictures."),
    ("A visit to a glass blower", "Heat, breath and patience: a morning in a workshop that is older than we are."),
    ("Kitchens of our readers", "You sent us 212 kitchens. We have seen things. These five made us want to cook."),
    ("Paint, but less", "A single wall is enough. Our four favourite colours for the darker half of the year."),
)


def _newsletter(title: str, story: str) -> str:
    return (
        "<html><head><style>body{font-family:Georgia,serif}.lead{font-size:18px}</style></head>"
        '<body bgcolor="#f4f1ea"><table width="600" align="center" cellpadding="16"><tr><td>'
        '<img src="cid:logo@northwind.example" alt="Northwind"'
        f' width="120"></td></tr><tr><td><h1>{title}</h1><p class="lead">{story}</p><p><a href='
        '"https://northwind.example/read?utm_source=mail">Read on</a></p></td></tr><tr><td><small>You get this because '
        'you subscribed. <a href="https://northwind.example/unsubscribe">Unsubscribe</a></small></td></tr></table>'
        '<img src="https://northwind.example/open.gif?u=4711" width="1" height="1"></body></html>'
    )


@cache
def _logo() -> File:
    return picture("northwind.png", 120, 40, grain=0, content_id="logo@northwind.example")


def letters() -> list[Letter]:
    """Return all sample letters, oldest first."""
    return sorted((*_thread(), *_customers(), *_machines(), *_offices()), key=lambda letter: -letter.hours)
