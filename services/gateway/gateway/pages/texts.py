"""What the pages say, by language."""

# ruff: noqa: E501 - a text stands on one line.

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "question_title": "Please confirm",
        "question_lead": "You are asked to agree to “{purpose}” for the address {address}.",
        "question_button": "Yes, I agree",
        "question_note": "If you did not ask for this, close this page: nothing will happen without your confirmation.",
        "confirmed_title": "Thank you, that is confirmed",
        "confirmed_lead": "You agreed to “{purpose}” for the address {address}.",
        "confirmed_note": "You can take this back at any time.",
        "expired_title": "This link has run out",
        "expired_lead": "The time to confirm is over and nothing was changed. Ask for a new link where you signed up.",
        "superseded_title": "This link no longer counts",
        "superseded_lead": "Something newer replaced it: a later link, or a later answer of yours. Nothing was changed.",
        "invalid_title": "This link does not work",
        "invalid_lead": "It may have been cut off on its way. Copy the whole link from the message, or ask for a new one.",
        "failed_title": "That did not work just now",
        "failed_lead": "Please try again in a minute. Your link stays valid and nothing was lost.",
        "notice_heading": "What you agree to",
        "unsubscribe_title": "Unsubscribe?",
        "unsubscribe_lead": "You will get no more messages of this kind at {address}.",
        "unsubscribe_sender": "The message came from {sender}.",
        "unsubscribe_button": "Unsubscribe",
        "unsubscribed_title": "You are unsubscribed",
        "unsubscribed_lead": "No more messages of this kind will be sent to {address}.",
        "gone_title": "This link does not work any more",
        "gone_lead": "It may have been cut off on its way, or it is too old. Use the link in a newer message.",
    },
    "de": {
        "question_title": "Bitte bestätigen",
        "question_lead": "Sie werden um Ihre Einwilligung zu „{purpose}“ für die Adresse {address} gebeten.",
        "question_button": "Ja, ich willige ein",
        "question_note": "Wenn Sie das nicht angefordert haben, schließen Sie diese Seite: ohne Ihre Bestätigung geschieht "
        "nichts.",
        "confirmed_title": "Danke, das ist bestätigt",
        "confirmed_lead": "Sie haben für die Adresse {address} in „{purpose}“ eingewilligt.",
        "confirmed_note": "Sie können das jederzeit widerrufen.",
        "expired_title": "Dieser Link ist abgelaufen",
        "expired_lead": "Die Frist zur Bestätigung ist vorbei, und es wurde nichts geändert. Fordern Sie dort, wo Sie sich "
        "angemeldet haben, einen neuen Link an.",
        "superseded_title": "Dieser Link gilt nicht mehr",
        "superseded_lead": "Etwas Neueres hat ihn ersetzt: ein späterer Link oder eine spätere Antwort von Ihnen. Es wurde "
        "nichts geändert.",
        "invalid_title": "Dieser Link funktioniert nicht",
        "invalid_lead": "Vielleicht wurde er unterwegs abgeschnitten. Kopieren Sie den ganzen Link aus der Nachricht, oder "
        "fordern Sie einen neuen an.",
        "failed_title": "Das hat gerade nicht geklappt",
        "failed_lead": "Bitte versuchen Sie es in einer Minute noch einmal. Ihr Link bleibt gültig, und nichts ging verloren.",
        "notice_heading": "Worin Sie einwilligen",
        "unsubscribe_title": "Abmelden?",
        "unsubscribe_lead": "Sie erhalten dann keine solchen Nachrichten mehr an {address}.",
        "unsubscribe_sender": "Die Nachricht kam von {sender}.",
        "unsubscribe_button": "Abmelden",
        "unsubscribed_title": "Sie sind abgemeldet",
        "unsubscribed_lead": "An {address} gehen keine solchen Nachrichten mehr.",
        "gone_title": "Dieser Link funktioniert nicht mehr",
        "gone_lead": "Vielleicht wurde er unterwegs abgeschnitten, oder er ist zu alt. Nehmen Sie den Link in einer neueren "
        "Nachricht.",
    },
}
"""Language (BCP 47) -> key -> text; `{purpose}`, `{address}` and `{sender}` are filled in."""

LANGUAGES = tuple(TEXTS)
"""The languages of the pages, the default first."""
