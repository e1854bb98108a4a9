"""Phrases that show what kind of request a text is and how soon it wants an answer, in English and German.

One regular expression a line, on folded text (`sentiment.fold`); each is matched as whole words.
"""

COMPLAINTS = r"""
(?:formal |official )?complain(?:t|ts|ing)?
unacceptable
disgrace(?:ful)?
never again
(?:my )?lawyer
legal action
trading standards
ombudsman
rip-?off
scam(?:mers?)?
compensation
fed up
(?:worst|terrible|horrible|awful|appalling) (?:\w+ )?(?:service|support|experience|company)
(?:i(?:'m| am) |we are )?(?:very |so |extremely |really )?(?:disappointed|furious|disgusted|outraged)
how dare you
waste of (?:time|money)
beschwer(?:de|den|e|en)
mich beschweren
unverschaemt(?:heit)?
frechheit
zumutung
inakzeptabel
nie wieder
(?:meinen )?anwalt
rechtliche schritte
verbraucherzentrale
abzocke
betrug
saftladen
skandal
schadene?rsatz
entschaedigung
(?:sehr |so |total |wirklich |mehr als )?(?:enttaeuscht|veraergert|empoert|stinksauer)
unter aller (?:sau|kanone)
das kann (?:doch )?nicht sein
es reicht
"""

PROBLEMS = r"""
(?:does|do|did|is|are)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:work|working|load|loading|open|start)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:work|working|load)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:loading|open|start)
(?:does|do|did|is|are)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:arrived?|received?|respond)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:arrived?|received?|respond)
(?:does|do|did|is|are)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:turn|charge|connect)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:turn|charge|connect)
(?:does|do|did|is|are)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:show|showing|let|delivered|come|go)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:show|showing|let)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:delivered|come|go)
(?:does|do|did|is|are)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:going|function|credited)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:going|function|credited)
(?:does|do|did|is|are)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:accepted|reflected|updated?)
(?:has|have|was|will|would)(?:n't| not)(?: (?:even|yet|seem to|been))? (?:accepted|reflected|updated?)
not (?:working|received|arrived|delivered|loading|responding)
(?:can't|cannot|can not|couldn't|unable to) (?!find out)(?:\w+ )?(?:log|login|sign|access|open|pay)
(?:can't|cannot|can not|couldn't|unable to) (?!find out)(?:\w+ )?(?:use|order|download)
(?:can't|cannot|can not|couldn't|unable to) (?!find out)(?:\w+ )?(?:print|connect|install|activate)
(?:can't|cannot|can not|couldn't|unable to) (?!find out)(?:\w+ )?(?:find|get|see|withdraw|transfer|make)
(?:can't|cannot|can not|couldn't|unable to) (?!find out)(?:\w+ )?(?:top|change|verify)
(?:can't|cannot|can not|couldn't|unable to) (?!find out)(?:\w+ )?(?:complete|reset|checkout|check out)
(?:stopped|stops) working
no longer works?
broken?
defective
faulty
damaged
crash(?:es|ed|ing)?
errors?(?: message| code)?
fail(?:s|ed|ing|ure)?
bugs?
missing
wrong (?:item|size|colou?r|product|amount|address|article|order|exchange|rate)
(?:was|been|got|were|is|are|keeps?) (?:being |getting )?(?:declined|rejected|charged twice)
(?:was|been|got|were|is|are|keeps?) (?:being |getting )?(?:overcharged|double charged|blocked|lost)
(?:was|been|got|were|is|are|keeps?) (?:being |getting )?(?:stolen|cancelled|reverted|refused)
(?:was|been|got|were|is|are|keeps?) (?:being |getting )?(?:stuck|swallowed|compromised|hacked)
(?:charged|billed) (?:me )?(?:twice|two times|double|again|extra)
(?:still )?(?:waiting for|haven't received|have not received|hasn't arrived|never arrived|never received)
still (?:pending|not|no|waiting|hasn't|haven't)
(?:a |the |some )?(?:problem|issue|trouble|glitch)s?
went wrong
don't recogni[sz]e
didn't (?:make|get|receive|authori[sz]e|go through|work)
(?:lost|stole) my
ate my
(?:leaks?|leaking|torn|scratched|cracked|bent|dead)
(?:funktioniert|geht|klappt|laeuft|laedt) (?:\w+ ){0,3}(?:nicht|nich|nie)(?: mehr)?
(?:startet|oeffnet|reagiert|funktionieren|gehen|lief) (?:\w+ ){0,3}(?:nicht|nich|nie)(?: mehr)?
(?:nicht|nie) (?:\w+ )?(?:angekommen|geliefert|erhalten|bekommen|funktioniert)
(?:nicht|nie) (?:\w+ )?(?:moeglich|eingetroffen|gutgeschrieben|angezeigt|da)
kann (?:ich )?(?:mich )?(?:\w+ ){0,4}nicht (?:mehr )?(?:\w+ )?(?:einloggen|anmelden|oeffnen)
kann (?:ich )?(?:mich )?(?:\w+ ){0,4}nicht (?:mehr )?(?:\w+ )?(?:bezahlen|bestellen|nutzen)
kann (?:ich )?(?:mich )?(?:\w+ ){0,4}nicht (?:mehr )?(?:\w+ )?(?:finden|herunterladen|aufrufen)
kann (?:ich )?(?:mich )?(?:\w+ ){0,4}nicht (?:mehr )?(?:\w+ )?(?:zugreifen|installieren)
kann (?:ich )?(?:mich )?(?:\w+ ){0,4}nicht (?:mehr )?(?:\w+ )?(?:abschliessen|verwenden)
kaputt(?:e|er|es|en)?
defekt(?:e|er|es|en)?
beschaedigt(?:e|er|es|en)?
fehler(?:meldung|haft|hafte|code)?
stuerzt (?:\w+ )?ab
abgestuerzt
problem(?:e|en)?
stoerung(?:en)?
fehlt|fehlen
falsche?[nrs]? (?:artikel|groesse|farbe|ware|betrag|adresse|produkt|rechnung|lieferung)
(?:doppelt|zweimal) (?:abgebucht|berechnet|belastet|bezahlt)
verloren gegangen
gesperrt
abgelehnt
warte (?:\w+ ){0,3}(?:noch|seit|schon)
immer noch (?:nicht|kein|keine|keinen)
zerbrochen
gestohlen
"""

TASKS = r"""
(?:please|pls|kindly)(?: please| kindly| just)? (?:cancel|change|update|send|resend)
(?:could you|can you|would you)(?: please| kindly| just)? (?:cancel|change|update|send|resend)
(?:please|pls|kindly)(?: please| kindly| just)? (?:delete|close|remove|ship|refund)
(?:could you|can you|would you)(?: please| kindly| just)? (?:delete|close|remove|ship|refund)
(?:please|pls|kindly)(?: please| kindly| just)? (?:return|exchange|replace|stop|add)
(?:could you|can you|would you)(?: please| kindly| just)? (?:return|exchange|replace|stop|add)
(?:please|pls|kindly|could you|can you|would you)(?: please| kindly| just)? (?:correct|activate|deactivate)
(?:please|pls|kindly|could you|can you|would you)(?: please| kindly| just)? (?:unsubscribe|reset|call)
(?:please|pls|kindly)(?: please| kindly| just)? (?:forward|issue|book|reschedule|extend)
(?:could you|can you|would you)(?: please| kindly| just)? (?:forward|issue|book|reschedule|extend)
(?:please|pls|kindly)(?: please| kindly| just)? (?:upgrade|downgrade|transfer|confirm|provide)
(?:could you|can you|would you)(?: please| kindly| just)? (?:upgrade|downgrade|transfer|confirm|provide)
(?:please|pls|kindly)(?: please| kindly| just)? (?:arrange|process|switch|set|move)
(?:could you|can you|would you)(?: please| kindly| just)? (?:arrange|process|switch|set|move)
(?:please|pls|kindly)(?: please| kindly| just)? (?:renew|block|freeze|unlock|make|give)
(?:could you|can you|would you)(?: please| kindly| just)? (?:renew|block|freeze|unlock|make|give)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:cancel|return)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:change|order)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:exchange)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:close)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:delete)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:unsubscribe)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:book)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:upgrade)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:downgrade)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:update)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:terminate)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:reschedule)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:transfer)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:activate)
(?:i(?:'d| would) like to|i want to|i wish to|i need to|i have to|we(?:'d| would) like to) (?:block|freeze)
(?:cancel|close|delete|terminate|unsubscribe) (?:my|our|the|me)
i (?:hereby|want a|need a|would like a) (?:\w+ )?(?:refund|cancel|replacement|copy|invoice|new)
bitte(?: \w+){0,8} (?:stornieren|aendern|zusenden|schicken|senden|loeschen)
bitte(?: \w+){0,8} (?:kuendigen|umtauschen|erstatten|zurueckrufen|ruecksenden|korrigieren|freischalten)
bitte(?: \w+){0,8} (?:ausstellen|weiterleiten|aktualisieren)
bitte(?: \w+){0,8} (?:verlaengern|umbuchen|zurueckerstatten|bestaetigen)
bitte(?: \w+){0,8} (?:veranlassen|eintragen|austauschen|tauschen|uebersenden|sperren|entfernen)
bitte (?:stornieren|aendern|senden|schicken|loeschen|kuendigen|erstatten|rufen)
bitte (?:korrigieren|aktualisieren|bestaetigen|sperren|entfernen|tauschen|veranlassen|liefern|tragen)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:stornieren)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:aendern|kuendigen)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:zurueckgeben)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:zuruecksenden|umtauschen)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:loeschen)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:bestellen|widerrufen)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:abbestellen|umbuchen)
(?:ich (?:moechte|will|wuerde gern(?:e)?)|wir (?:moechten|wollen))(?: \w+){0,8} (?:verlaengern|reklamieren)
(?:hiermit|ich) (?:kuendige|widerrufe|storniere|bestelle)
kuendigung
widerruf
(?:koennen|koennten|wuerden) sie(?: \w+){0,8} (?:stornieren|aendern|zusenden|schicken|senden|loeschen)
(?:koennen|koennten|wuerden) sie(?: \w+){0,8} (?:erstatten|korrigieren|zurueckrufen)
(?:koennen|koennten|wuerden) sie(?: \w+){0,8} (?:ausstellen|sperren|bestaetigen)
"""

URGENT = r"""
fraud(?:ulent)?
hacked
stolen
unauthori[sz]ed (?:\w+ )?(?:transaction|payment|charge|access)
emergency
(?:data )?breach
injur(?:y|ed)
(?:on|caught) fire
(?:is|was|very) dangerous
(?:ist|war|sehr) gefaehrlich
(?:es |hat ge)?brann?t
gehackt
gestohlen
betrug
notfall
verletzt
lebensgefahr
"""

HIGH = r"""
(?:very |extremely )?urgent(?:ly)?
asap
as soon as possible
immediately
right away
right now
by (?:today|tomorrow|tonight)
deadline
time-?sensitive
(?:sehr |aeusserst |super )?dringend(?:e|st)?
eilt
eilig
sofort
umgehend
unverzueglich
so schnell wie moeglich
schnellstmoeglich(?:st)?
bis (?:heute|morgen)
frist
"""

LOW = r"""
no (?:hurry|rush)
not urgent
whenever you (?:can|have time)
when you (?:have|get) (?:time|a chance)
just curious
keine eile
eilt nicht
nicht eilig
nicht dringend
bei gelegenheit
wenn sie zeit haben
"""
