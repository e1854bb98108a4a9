"""German: words that tell how a text sounds."""

from sentiment.lexicon import Weights, lexicon

_WEIGHTS: Weights = {
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

GERMAN = lexicon(
    _WEIGHTS,
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
)  # fmt: skip
