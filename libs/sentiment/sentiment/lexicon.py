"""Words that tell how a text sounds, and in which language it is, for English and German.

Weights run from -3 (very bad) to 3 (very good). An entry that ends in `*` stands for all words that begin so. Entries
are folded as texts are (`fold`): lower case, umlauts written out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Weights = Mapping[float, str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What is known of one language. words: weight by whole word; stems: weight by beginning of a word.

    negations turn what stands near them round, `negates_before` also what stands before them (as in "geht nicht");
    boosters and dampeners weigh what follows; contrasts make what follows count more than what went before;
    courtesies say nothing about the mood.
    """

    words: Mapping[str, float]
    stems: Mapping[str, float]
    negations: frozenset[str]
    negates_before: bool
    boosters: frozenset[str]
    dampeners: frozenset[str]
    contrasts: frozenset[str]
    courtesies: tuple[str, ...]


def fold(text: str) -> str:
    """The text in lower case, with umlauts and sharp s written out and straight apostrophes."""
    return text.lower().translate(_FOLDING)


_FOLDING = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "\u2019": "'", "\u2018": "'", "`": "'"})

_EN: Weights = {
    3: "excellent outstanding superb fantastic amazing awesome brilliant perfect perfectly wonderful exceptional* "
    "magnificent love loved loving delight* thrilled flawless* phenomenal marvellous marvelous stunning best",
    2: "great happy happier glad pleased impress* enjoy* enjoyed enjoying friendly helpful recommend* satisf* "
    "beautiful* grateful gratitude appreciat* thankful superbly reliable pleasure kudos bravo smoothly effortless* "
    "courteous trustworthy attentive speedy generous terrific lovely comfortable joy exceeded exceeds gem winner "
    "praise* compliment* wow charming welcoming caring professional professionally splendid super fabulous elated",
    1: "good nice fine well fast quick quickly easy easily smooth works working worked work solved resolved fixed "
    "resolve solve thanks thank useful polite clear clearly simple convenient better improve* improved cheap "
    "affordable fair kind kindly responsive prompt promptly correct intuitive fresh clean neat cool handy "
    "straightforward patient safe secure sturdy durable fits helped helps successful* success bonus cheers "
    "efficient* decent solid worth understanding understandable usable value accurate* yay hooray arrived "
    "comfy crisp elegant hope excited",
    -1: "problem* issue* error* fault* mistake* slow slowly late delay* delayed wait waiting waited missing lost "
    "wrong* incorrect* unclear confus* difficult* hard expensive trouble* bug bugs buggy complicated cold dirty "
    "unable fail fails failed failing failure* crash* stuck stopped refus* reject* decline* blocked unfortunately "
    "sadly worse lack lacks lacking weak noisy loud cheaply inconvenien* unhelpful unanswered ignored ignore* "
    "overcharged complain* complaint* incomplete unexpected* doubt* concern* worried worry concerned sorry "
    "cancelled glitch* leak* scratch* torn stain* smell* sticky boring awkward unstable inconsistent "
    "forgot forgotten unresolved empty outdated sluggish unreliable annoying annoy annoyed tired dull mediocre "
    "clumsy unfriendly impatient lousy disagree* mess messy freeze* freezes hang hangs dislike* dispute* chaotic",
    -2: "bad badly poor poorly broken broke defective damaged damage* disappoint* frustrat* upset unhappy angry "
    "mad rude impolite careless useless dissatisf* unsatisf* unacceptabl* unprofessional incompeten* misleading "
    "misled cheated cheat deceiv* lied lie lies lying dishonest unfair ridiculous* nonsense shoddy faulty "
    "irritat* infuriat* fed-up hate hated hates regret* ruined ruin waste wasted wasting fake hopeless joke "
    "neglect* insult* arrogant unbelievable absurd ashamed shame suck sucks sucked crap crappy garbage rubbish "
    "trash junk refuse pathetic sloppy stolen steal fraud* robbed unusable nightmarish painful aggravat* "
    "laughable inexcusable outrage* stupid idiot* dreadful failure wretched unreasonable overpriced avoid",
    -3: "terrible terribly horrible horribly awful awfully worst disgust* disgrace* scam scammer* scammed "
    "atrocious appalling* abysmal nightmare furious livid horrendous despicable horrific enraged abominabl* "
    "ripoff rip-off disaster* catastroph* loathe* detest*",
}

_DE: Weights = {
    3: "ausgezeichnet* hervorragend* fantastisch* grossartig* perfekt* wunderbar* exzellent* genial* spitze "
    "spitzenmaessig* traumhaft* phaenomenal* liebe lieben begeister* sensationell* herausragend* vorbildlich* "
    "klasse toll* beste bester bestes besten ueberragend* spitzenklasse unschlagbar*",
    2: "super freundlich* hilfsbereit* zufrieden* gluecklich* empfehl* kompetent* zuverlaessig* schoen schoene "
    "schoenes schoener schoenen froh erfreu* gefreut freue freuen freut begeisternd* lob loben gelobt lobenswert "
    "dankbar* angenehm* sympathisch* erstklassig* professionell* vertrauenswuerdig* beeindruck* prima bestens "
    "wundervoll* herzlich* spass hochwertig* reibungslos* zuvorkommend* liebevoll* vorzueglich* cool geil mega "
    "hammer bravo kulant* aufmerksam* optimal* einwandfrei* makellos* problemlos* tadellos*",
    1: "gut gute guter gutes guten gutem schnell* puenktlich* danke dank bedanke einfach* leicht* funktioniert "
    "funktionieren klappt geklappt klappen geht geloest behoben hilft helfen geholfen hilfreich* nett* fair* "
    "uebersichtlich* praktisch* klar guenstig* preiswert* besser sauber* richtig* korrekt* erreichbar* bequem* "
    "verstaendlich* verstaendnisvoll* erfolgreich* gefaellt gefallen passt gepasst angekommen sicher* stabil* "
    "robust* ordentlich* zuegig* prompt* unkompliziert* hoeflich* geduldig* frisch* lecker* huebsch* "
    "funktioniere laeuft lohnt solide* vielversprechend* interessant* hoffe",
    -1: "problem* fehler* stoerung* langsam* spaet verspaet* verzoeger* warte warten gewartet wartezeit* fehlt "
    "fehlen fehlend* falsch* unklar* verwirr* schwierig* schwer kompliziert* umstaendlich* teuer* teure* leider "
    "schade unvollstaendig* vergessen verloren abgebrochen abgelehnt gesperrt haengt absturz abstuerz* "
    "abgestuerzt kalt schmutzig* dreckig* laut* schwach* beschwer* reklam* stoert stoerend* aerger nervig* nervt "
    "nerven muehsam* unpuenktlich* ungenau* veraltet* unsicher* sorge sorgen besorgt zweifel* bedauer* "
    "ungeduldig* verschwunden mangel* maengel undicht* kratzer fleck* riss gerissen stinkt unfreundlich* "
    "unuebersichtlich* unverstaendlich* ignoriert verweiger* klemmt bug bugs ruckelt mau lahm* zaeh muede "
    "enttaeuschend unangenehm* ueberfordert* widerspruech* streit* chaotisch* chaos",
    -2: "schlecht* kaputt* defekt* beschaedig* enttaeusch* aerger* veraerger* frustrier* frust sauer wuetend* wut "
    "unzufrieden* unprofessionell* inkompetent* unverschaemt* frech* unhoeflich* ruecksichtslos* unbrauchbar* "
    "nutzlos* sinnlos* wertlos* mies* mist muell schrott bloed* dumm* laecherlich* peinlich* hasse hass "
    "irrefuehrend* betrogen betrueg* getaeuscht gelogen luege* luegen unfair* unmoeglich unzumutbar* "
    "inakzeptabel* unakzeptabel* schlampig* ungenuegend* mangelhaft* arrogant* zumutung abzocke abgezockt "
    "zerbrochen zerstoert ruiniert verarscht verarsch* schlimm* gestohlen geklaut wucher ueberteuert* "
    "ungluecklich* bereue entsetzt empoer* untragbar* erbaermlich* unverantwortlich* dreist* unterirdisch*",
    -3: "schrecklich* furchtbar* grauenhaft* grauenvoll* entsetzlich* katastrophe katastroph* horror skandal* "
    "betrug betrueger* frechheit unverschaemtheit sauerei schweinerei scheisse scheiss* widerlich* abscheulich* "
    "miserabel* miserable* schlimmste* schlechteste* albtraum alptraum ekelhaft* unterste desastroes* desaster "
    "saftladen unfassbar*",
}

EMOJI: Mapping[str, float] = {
    mark: weight
    for weight, marks in {
        2.0: "😀😃😄😁😍🥰😘🤩👍🎉💯🙌👏💖🥳😻",
        1.5: "🙂😊😉☺😎🙏💪✅😇❤",
        -1.0: "😕🙁☹😐😟😔😬🤔",
        -2.0: "😢😭😞😠😤👎😩😫😒💔😖",
        -3.0: "😡🤬🤮🤢💩🖕",
    }.items()
    for mark in marks
}
EMOTICONS: Mapping[str, float] = {
    ":)": 1.5, ":-)": 1.5, ":D": 2.0, ":-D": 2.0, ";)": 1.0, ";-)": 1.0, "<3": 2.0,
    ":(": -1.5, ":-(": -1.5, ":'(": -2.0, ":/": -1.0, ":-/": -1.0, ">:(": -2.5,
}  # fmt: skip


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


def _lexicon(
    weights: Weights, *, negations: str, negates_before: bool, boosters: str, dampeners: str, contrasts: str,
    courtesies: tuple[str, ...],
) -> Lexicon:  # fmt: skip
    words: dict[str, float] = {}
    stems: dict[str, float] = {}
    for weight, listed in weights.items():
        for entry in listed.split():
            if entry.endswith("*"):
                stems[entry[:-1]] = float(weight)
            else:
                words[entry] = float(weight)
    return Lexicon(
        words,
        stems,
        _words(negations),
        negates_before,
        _words(boosters),
        _words(dampeners),
        _words(contrasts),
        courtesies,
    )


LEXICONS: Mapping[str, Lexicon] = {
    "en": _lexicon(
        _EN,
        negations="not no never none nobody nothing neither nor without hardly barely cannot cant dont doesnt didnt "
        "isnt wasnt wont wouldnt couldnt havent hasnt aint nowhere zero",
        negates_before=False,
        boosters="very really extremely absolutely completely totally so too incredibly highly utterly deeply "
        "such truly super entirely simply more most far beyond",
        dampeners="slightly somewhat bit little rather fairly partly quite kinda sort almost",
        contrasts="but however although though yet except still",
        courtesies=(
            "thanks in advance", "thank you in advance", "many thanks in advance", "thank you for your help",
            "thanks for your help", "kind regards", "best regards", "warm regards", "best wishes", "kindly",
            "thank you for your time", "yours sincerely", "best,", "good morning", "good afternoon", "good evening",
            "good day", "thank you for your understanding", "no problem", "as well", "how well", "help me",
            "work out", "at work", "at best", "working day", "working days", "have a nice day", "have a good day",
            "have a great day", "well as", "hope this", "i hope", "i love to know", "would love to", "gift card",
            "as soon as possible", "would like", "no idea", "customer complaints",
        ),
    ),
    "de": _lexicon(
        _DE,
        negations="nicht nich nie niemals kein keine keinen keiner keines keinem keinerlei ohne kaum nichts weder "
        "niemand nirgends nimmer",
        negates_before=True,
        boosters="sehr wirklich extrem absolut total so richtig ueberaus voellig komplett aeusserst echt besonders "
        "dermassen unglaublich wahnsinnig hoechst zu viel noch mega rundum ganz",
        dampeners="etwas bisschen ziemlich teilweise eher fast relativ wenig halbwegs",
        contrasts="aber jedoch allerdings obwohl trotzdem dennoch doch sondern",
        courtesies=(
            "vielen dank im voraus", "danke im voraus", "besten dank im voraus", "herzlichen dank im voraus",
            "mit freundlichen gruessen", "freundliche gruesse", "mit freundlichem gruss", "liebe gruesse",
            "viele gruesse", "beste gruesse", "herzliche gruesse", "schoene gruesse", "guten tag", "guten morgen",
            "guten abend", "gute nacht", "vielen dank fuer ihre hilfe", "danke fuer ihre hilfe", "liebes team",
            "schoenen tag", "schoenes wochenende", "schoenen abend", "vielen dank fuer ihr verstaendnis",
            "liebe damen und herren", "kein problem", "so schnell wie moeglich", "wie geht", "es geht um",
            "geht es um", "ich hoffe", "koennen sie mir helfen", "liebe frau", "lieber herr", "richtig verstanden",
            "wenn moeglich", "gut erhalten",
        ),
    ),
}  # fmt: skip


_FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    "en": _words(
        "the and is are was were i you my your it this that have has had not with for from of to on at be been can "
        "could would will do does did how what when where why which we they me an please there but or if just as "
        "all so any by our it's i'm don't can't doesn't didn't after am he she his her its since still get got "
        "thanks thank hi hello dear now out up no yes want need one very too never"
    ),
    "de": _words(
        "der die das und ist sind war ich sie mein meine meinen mir mich es dies diese dieser nicht mit fuer von zu "
        "auf bei habe hat haben hatte kann koennen wird werden wie was wann wo warum welche wir ein eine einen einem "
        "einer bitte aber oder wenn nur auch noch schon im am zum zur den dem des ihr ihre ihren ihnen sich bin wurde "
        "dass seit nach aus immer sehr kein keine vom er uns als so ja nein dann hier alles vielen danke mal gibt "
        "geht jetzt ab da man mehr wieder bereits seine meiner unser unsere beim wegen"
    ),
    "fr": _words("le la les et est je vous mon ma pas avec pour des une un du que qui dans sur ne bonjour"),
    "es": _words("el la los las y es yo mi no con para por una un del que en se su hola pero muy lo"),
    "it": _words("il lo la gli e sono io mio non con per una un del che in si ciao ma molto ho della"),
    "nl": _words("de het een en is ik mijn niet met voor van dat wat te op zijn heb maar ook dit naar"),
    "pl": _words("i w na nie jest z do to sie jak moje ale za dla czy mam prosze od"),
    "tr": _words("ve bir bu ben icin degil ile cok ama var yok ne da de mi"),
}


def language_of(words: list[str]) -> str:
    """The language most of the folded words' function words belong to, such as `en`; empty when that is not clear."""
    counts = {code: sum(word in known for word in words) for code, known in _FUNCTION_WORDS.items()}
    (first, hits), (_, second) = sorted(counts.items(), key=lambda item: -item[1])[:2]
    enough = hits >= 2 or (hits == 1 and len(words) <= 4)
    return first if enough and hits > second and hits / len(words) >= 0.12 else ""
