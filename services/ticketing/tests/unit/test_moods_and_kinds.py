"""How texts sound and what they ask for, on sentences written for this test; the model was not fitted to them."""

import time

import pytest

from sentiment import (
    NEGATIVE,
    NEUTRAL,
    NONE,
    POSITIVE,
    UNCERTAIN,
    language_of,
    sentiment_of,
    words_of,
)
from ticketing.domain.classification import classify

# Language, how it sounds (P: positive, N: negative, 0: neither), its kind ("-": not judged), and the text.
TEXTS = """
en|P|-|Thank you so much, the new kettle is wonderful and arrived a day early!
en|P|-|Your colleague Maria was incredibly patient and friendly, please tell her.
en|P|-|Everything works perfectly again. Great support!
en|P|-|I love the jacket, it fits like a glove.
en|P|-|Not bad at all, I would order again.
en|P|-|The second delivery was fast and complete, thanks for solving this.
en|P|-|Just wanted to say that the repair was excellent.
en|P|-|The app got so much better since the last update.
en|P|-|The first week was rough, but now I am really happy with it.
en|P|-|Best customer service I have had in years.
en|N|problem|The blender stopped working after two days.
en|N|complaint|This is the worst service I have ever experienced.
en|N|problem|My parcel was damaged when it arrived and one cup is broken.
en|N|complaint|I am extremely disappointed, nobody answered my three mails.
en|N|problem|The app crashes every time I open the camera.
en|N|complaint|You charged me twice and your hotline is useless.
en|N|problem|I can't log in, the page shows an error.
en|N|complaint|I want to make a complaint about your driver, he was very rude.
en|N|problem|The shoes are not comfortable and the sole is already torn.
en|N|complaint|Three weeks without an answer is simply unacceptable.
en|N|problem|The colour is nice, but the zip broke on the first day.
en|N|complaint|What a waste of money. Never again!
en|N|problem|Heating does not work since Sunday and it is freezing cold.
en|N|problem|The battery doesn't hold and the screen is scratched.
en|N|complaint|Your agent lied to me. I will talk to my lawyer.
en|0|question|Where can I find the invoice for order 4711?
en|0|question|Do you ship to Norway?
en|0|question|How long is the warranty on the vacuum cleaner?
en|0|question|Is the blue one available in size 42?
en|0|task|Please change the delivery address to 5 High Street.
en|0|task|Please cancel my subscription at the end of the month.
en|0|task|Could you please send me a copy of the receipt?
en|0|task|I would like to return two of the chairs.
en|0|question|Which plug does the European model have?
en|0|task|Please update my phone number in your records.
en|0|question|Can I pay by bank transfer?
de|P|-|Vielen Dank, das ging wirklich schnell und alles funktioniert wieder!
de|P|-|Ich bin sehr zufrieden mit dem neuen Staubsauger.
de|P|-|Ihre Mitarbeiterin war überaus freundlich und hat sofort geholfen.
de|P|-|Die Jacke ist wunderschön, ich bin begeistert.
de|P|-|Toller Service, immer wieder gerne.
de|P|-|Zuerst war ich skeptisch, aber jetzt bin ich rundum glücklich damit.
de|P|-|Gar nicht schlecht, die App gefällt mir.
de|P|-|Perfekt, die Rechnung ist angekommen. Danke!
de|P|-|Ein großes Lob an Ihr Team in Köln.
de|P|-|Super Beratung, kann ich nur empfehlen.
de|N|problem|Der Wasserkocher ist nach zwei Tagen kaputt gegangen.
de|N|complaint|Das ist eine Frechheit, ich warte seit drei Wochen auf mein Geld.
de|N|problem|Die App stürzt ständig ab und ich komme nicht an meine Daten.
de|N|complaint|Ich möchte mich über Ihren Fahrer beschweren, er war sehr unfreundlich.
de|N|problem|Mein Paket ist beschädigt angekommen, zwei Gläser sind zerbrochen.
de|N|complaint|Ich bin maßlos enttäuscht von Ihrem Kundendienst.
de|N|problem|Der Drucker funktioniert nicht, es kommt immer eine Fehlermeldung.
de|N|complaint|Der schlechteste Service, den ich je erlebt habe. Nie wieder!
de|N|problem|Das Kleid ist hübsch, aber der Reißverschluss klemmt und es riecht schlecht.
de|N|complaint|Niemand antwortet, das kann doch nicht sein!
de|N|problem|Die Lieferung ist unvollständig, ein Regal fehlt.
de|N|complaint|Ich fühle mich betrogen und werde einen Anwalt einschalten.
de|N|problem|Ich kann mich seit gestern nicht mehr anmelden, sehr ärgerlich.
de|N|problem|Falsche Größe geliefert und der Stoff ist fleckig.
de|0|question|Wann kommt meine Bestellung 4711?
de|0|question|Liefern Sie auch nach Österreich?
de|0|question|Wie lange habe ich Garantie auf das Gerät?
de|0|question|Kann ich auch auf Rechnung bezahlen?
de|0|task|Bitte ändern Sie meine Lieferadresse auf Hauptstraße 5.
de|0|task|Hiermit kündige ich meinen Vertrag zum Jahresende.
de|0|task|Bitte senden Sie mir eine Kopie der Rechnung zu.
de|0|task|Ich möchte zwei der Stühle zurückgeben.
de|0|question|Gibt es das Modell auch in Blau?
de|0|question|Welche Unterlagen brauchen Sie von mir?
de|0|task|Könnten Sie mir bitte die Anleitung schicken?
""".strip().splitlines()

LABELS = {"P": POSITIVE, "N": NEGATIVE, "0": NEUTRAL}
LABELLED = [tuple(line.split("|")) for line in TEXTS]


def share(right: list[bool]) -> float:
    return round(sum(right) / len(right), 3)


class TestSentiment:
    @pytest.mark.parametrize("language", ["en", "de"])
    def test_nine_in_ten_texts_are_judged_as_a_person_would(self, language: str, record_property) -> None:
        chosen = [(label, text) for code, label, _, text in LABELLED if code == language]
        found = [sentiment_of(text).label for _, text in chosen]
        accuracy = share([LABELS[label] == judged for (label, _), judged in zip(chosen, found, strict=True)])
        record_property(f"sentiment_accuracy_{language}", accuracy)
        assert len(chosen) >= 30
        assert accuracy >= 0.9

    def test_nothing_bad_is_taken_for_praise_nor_praise_for_blame(self) -> None:
        opposite = {"P": NEGATIVE, "N": POSITIVE}
        assert [text for _, label, _, text in LABELLED if sentiment_of(text).label == opposite.get(label)] == []

    @pytest.mark.parametrize(
        ("text", "language", "label"),
        [
            ("", "", NONE),
            ("4711 -- 12/3", "", NONE),
            ("ok", "en", UNCERTAIN),
            ("Order 4711", "en", UNCERTAIN),
            ("Je suis très content de votre service", "", UNCERTAIN),
            ("Great service", "fr", UNCERTAIN),
            ("Ik ben niet blij met de levering", "", UNCERTAIN),
            ("The food was terrible and the music was wonderful", "en", UNCERTAIN),
            ("👍", "", POSITIVE),
            ("😡😡 où est mon colis", "fr", NEGATIVE),
            ("It arrived :)", "en", POSITIVE),
        ],
    )
    def test_it_is_honest_about_what_it_cannot_tell(self, text: str, language: str, label: str) -> None:
        assert sentiment_of(text, language).label == label

    @pytest.mark.parametrize(
        ("weaker", "stronger"),
        [
            ("It is good", "It is very good"),
            ("It is good", "It is GOOD"),
            ("It is good", "It is good!!!"),
            ("It is slightly bad", "It is bad"),
            ("Das ist etwas schlecht", "Das ist sehr schlecht"),
            ("The staff was rude, but the food was great", "The staff was great"),
        ],
    )
    def test_emphasis_and_its_opposite_count(self, weaker: str, stronger: str) -> None:
        assert abs(sentiment_of(weaker).score) < abs(sentiment_of(stronger).score)

    @pytest.mark.parametrize(
        ("text", "sign"),
        [
            ("It is not good", -1),
            ("It isn\u2019t good", -1),
            ("Das ist nicht gut", -1),
            ("Das gefällt mir leider nicht", -1),
            ("Das ist gut, nicht teuer", 1),
            ("Nice shop, but horrible delivery", -1),
            ("Horrible delivery, but a very nice shop", 1),
            ("Schoen und guenstig", 1),
        ],
    )
    def test_negation_and_contrast_turn_it_round(self, text: str, sign: int) -> None:
        assert sentiment_of(text).score * sign > 0

    def test_the_words_that_decided_are_named_the_weightiest_first(self) -> None:
        found = sentiment_of("The shop is nice. The delivery was horrible and not fast.", "en")
        assert found.reasons[0] == "horrible"
        assert set(found.reasons) == {"horrible", "nice", "not fast"}
        assert found.model == "lexicon/2"

    def test_courtesy_is_no_praise(self) -> None:
        assert sentiment_of("Where is my parcel? Thanks in advance. Best regards, Ann").label == NEUTRAL
        assert sentiment_of("Wo ist mein Paket? Vielen Dank im Voraus. Mit freundlichen Grüßen, Ann").label == NEUTRAL

    @pytest.mark.parametrize(
        "unit", ["good but ", "nicht ", "thank you in advance ", "!", "a-", "👍", "x", "no ", "\n"]
    )
    def test_long_texts_take_milliseconds(self, unit: str) -> None:
        text = unit * (1_000_000 // len(unit))
        started = time.process_time()
        found = sentiment_of(text)
        classify("", text, found.score)
        assert time.process_time() - started < 0.5
        assert -1 <= found.score <= 1

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_the_language_is_found_from_the_words(self, language: str) -> None:
        found = [language_of(words_of(text)) for code, _, _, text in LABELLED if code == language]
        assert share([code == language for code in found]) >= 0.95


class TestClassification:
    @pytest.mark.parametrize("language", ["en", "de"])
    def test_nine_in_ten_texts_are_of_the_kind_a_person_would_say(self, language: str, record_property) -> None:
        chosen = [(kind, text) for code, _, kind, text in LABELLED if code == language and kind != "-"]
        right = [classify("", text, sentiment_of(text).score).kind == f"KIND_{kind.upper()}" for kind, text in chosen]
        record_property(f"kind_accuracy_{language}", share(right))
        assert share(right) >= 0.9

    def test_the_reason_quotes_what_decided(self) -> None:
        assert classify("Please help", "The printer shows error 12").kind_reason == 'It says "error".'
        assert classify("", "Hello").kind_reason == "Nothing in it tells the kind; taken for a question."
        assert classify("", "Terrible", -0.9).kind_reason == "It sounds very discontented."

    @pytest.mark.parametrize(
        ("text", "priority"),
        [
            ("Somebody hacked my account", "PRIORITY_URGENT"),
            ("Mein Konto wurde gehackt", "PRIORITY_URGENT"),
            ("I need this by tomorrow", "PRIORITY_HIGH"),
            ("Es ist dringend", "PRIORITY_HIGH"),
            ("Bitte so schnell wie möglich", "PRIORITY_HIGH"),
            ("This is not urgent", "PRIORITY_LOW"),
            ("Es eilt nicht", "PRIORITY_LOW"),
            ("I like your brand", "PRIORITY_NORMAL"),
        ],
    )
    def test_what_is_said_about_time_is_heard(self, text: str, priority: str) -> None:
        assert classify("", text).priority == priority

    def test_a_furious_complaint_comes_before_others(self) -> None:
        text = "This is the worst company ever, I am furious and disgusted!"
        found = classify("", text, sentiment_of(text).score)
        assert (found.kind, found.priority) == ("KIND_COMPLAINT", "PRIORITY_HIGH")
