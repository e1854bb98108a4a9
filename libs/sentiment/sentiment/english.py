"""English: words that tell how a text sounds."""

from sentiment.lexicon import Weights, lexicon

_WEIGHTS: Weights = {
    3: "amazing amazingly amazed amazes amaze amazement state-of-the-art unmatched invaluable excellent* "
    "outstanding* superb fantastic* awesome* brilliant* perfect perfection perfectly wonderful* exceptional* "
    "magnificent* love loved loves loving luv loveliest delight* thrill* flawless* phenomenal* marvellous* "
    "marvelous* stunning* best gorgeous* breathtaking* ecstatic stellar exquisite* world-class top-notch "
    "first-class first-rate mind-blowing unbeatable adore* bliss* spectacular* sublime heavenly miraculous* "
    "fab fabulous* overjoyed",
    2: "heaven innovative hassle-free trouble-free bug-free rock-solid knowledgeable dependable spotless "
    "thoughtful supportive well-made well-built well-placed well-designed virtuoso razor-sharp vibrant "
    "unbeaten reassur* relieved relief great greatest greatly happy happier happiest happily happiness glad "
    "gladly pleased pleasing impress* enjoy* friendly friendliest helpful recommend* satisf* beautiful* "
    "grateful* gratitude appreciat* thankful* superbly reliable reliably reliability pleasure pleasant* "
    "kudos bravo smoothly effortless* courteous trustworthy attentive speedy generous* terrific* lovely "
    "comfortable comfortably joy joyful* joyous exceeded exceeds gem winner* win wins winning won praise* "
    "compliment* wow charming welcoming caring professional professionally splendid* super elated fun "
    "hilarious* cute cuter cutest adorable sweet sweeter sweetest lucky luckily luckiest proud proudly "
    "favorite* favourite* fav fave congrats congratulat* yum yummy delicious* tasty haha* hahah* lol lols "
    "lmao* rofl* woohoo woo-hoo hurray huzzah yippee blessed blessing* bless merry smile* smiling smiley "
    "laughing laughed laughs laughter giggl* celebrat* victory victories victorious triumph* inspir* "
    "fascinat* excit* stoked pumped psyched seamless* painless* stylish attractive exceptionally superior "
    "superiority incredible fantastically user-friendly worthwhile nicest coolest epic legendary genius "
    "genial talented talent* gifted sexy handsome cheerful* romantic hugs cuddl* bargain* remarkabl* "
    "heartwarming refreshing* rewarding likable likeable liked treat treats delightfully versatile powerful "
    "surpass* outperform* rejoic* paradise luxur* glorious* hooray yay yaay woot",
    1: "laugh luck golden hip groovy creativity effective effectively informative considerate consistent "
    "spacious roomy plush rugged robust tidy timely on-time punctual organized organised thorough "
    "accommodating competent capable skilled economical inexpensive reasonable reasonably indispensable "
    "cooperative approachable personable adaptable ergonomic lively energetic quiet quietly good goodness "
    "nice nicely nicer fine fast faster fastest quick quicker quickly easy easier easiest easily ease smooth "
    "works solved resolved fixed solve thanks thank thx thnx thanx useful usefulness polite politely "
    "convenient* convenience better improve* improved cheap cheaper affordable fair kindness kindly "
    "responsive prompt promptly correct correctly intuitive* fresh clean neat cool cooler handy "
    "straightforward safe safely secure sturdy durable fits helps helped successful* succeed* success bonus "
    "cheers efficient* decent solid worth understanding usable value accurate* accuracy arrived comfy crisp "
    "elegant* hope hopeful* hopefully lightweight likes funny funnier pretty prettier smart smarter clever* "
    "brave* hero heroes heroic courag* encourag* motivat* optimis* promising relax* peaceful* freedom gift "
    "gifts birthday welcome welcomed interesting* intriguing eager* keen advantage* benefit* beneficial "
    "healthy award* prize prizes champion* honor* honour* respect* admir* trusted loyal* favor favour "
    "charity donat* reward* saved saves kiss* hug ideal* sleek sharp vivid* sexier rocks rocking dream "
    "dreams dreamy attract* charm* rich stable precise* flexible perk perks sunshine sunny hottest amused "
    "amusing amusement entertain* wise wisdom wealth* gain gains grin grinning passion* faithful* gentle "
    "gently gracious* graceful* grace nailed mastered masterpiece progress beauty bright brighter brighten* "
    "enthusias* sincere* truthful* gladness unique warmth valuable warmly hilarity playful* popular* cozy "
    "cosy snappy impressed improves improvement* affection* graduat* achiev* accomplish* ha heh hehe* tops",
    0.5: "patience resolve plenty ample instant instantly convinced pray soft well work worked working clear "
    "simple simply patient kind fit understandable interested quality free party vacation holiday agree "
    "agreed worthy fans fan",
    -0.5: "serious shock conspiracy crowded hang hangs heavy odd oddly strange* unknown risk* warning warnings "
    "noise oops limit limited limitation* careful forget forgets wait waiting waited hard cold smell* empty "
    "dropped",
    -1: "harder curse curses cursed misguided abandoned shaky unpredictable time-consuming uneasy paltry skimp* "
    "woes screaming scream screams starv* frighten* boycott* collision* disorganized disorganised "
    "unorganized overdue unauthorized unauthorised unsolicited misplaced miscommunicat* mismatch* dent dents "
    "dented chipped stale soggy bland greasy dusty musty cramped sketchy primitive inflexible indifferen* "
    "ambiguous puzzling puzzled baffl* alarming alarmed unnerving bother bothers bothered bothering "
    "bothersome disturb* backlog* problem* issue* error* fault* mistake* slow slower slowly late delay* "
    "delayed missing missed lost wrong* incorrect* unclear confus* difficult* expensive trouble* bug bugs "
    "buggy complicated dirty unable fail fails failed failing failure* crash* stuck stopped stops refus* "
    "reject* decline* blocked blocking unfortunate* sadly worse lack lacks lacking lacked weak weakness* "
    "noisy loud inconvenien* unhelpful unanswered ignored ignore ignores ignoring overcharged complain* "
    "complaint* incomplete unexpected* doubt* concern* worry worrying worried worries sorry cancelled "
    "glitch* leak* scratch* torn stain* sticky boring awkward* unstable inconsisten* forgot forgotten "
    "unresolved outdated sluggish unreliable annoying* annoy annoyed annoys tired dull mediocre clumsy "
    "unfriendly impatient lousy disagree* mess messy freeze* freezing freezes froze frozen dislike* dispute* "
    "chaotic chaos ugh ughh argh weird weirdest crazy insane bummer ouch sigh sighs dang darn meh yikes damn "
    "damned dammit hell ass drama alone lonely miss sore sick sicker ill illness* disease* injur* wound* "
    "emergency accident* burned burnt threat* danger* unsafe hazard* war wars weapon* fight fights fighting "
    "fought conflict* punish* penalt* lawsuit* sue suing illegal* suspect* jail prison arrest* guilty guilt "
    "blame* blaming accus* virus viruses spam spammer* hack hacked hackers hacking downside* drawback* "
    "shortcoming* quibble* nitpick* gripe* hassle* nuisance* tedious cumbersome bulky fragile flimsy blurry "
    "grainy dim loose bent busted cracked cracks wobbly rust* rattl* squeak* overheat* lag lags laggy "
    "lagging stall stalls stalled pricey costly unlucky unnecessar* impossible incompatib* inaccura* "
    "insufficient inadequate* invalid false skips skipping interrupt* distract* distort* nervous* anxi* "
    "stress* tense worn exhaust* bored boredom lazy stupidity lose loses losing loser* losers defeat* cry "
    "cries crying cried tears weep* sob sobbing embarrass* oversight jealous* bitter bitterness selfish* "
    "rant rants ranting struggl* suffer* uncomfort* undesir* unimpress* unpleasant* unwanted unhealthy bump* "
    "cranky grumpy gloomy gloom moody rough harsh* strict steep die dies died dying dead deadly death* fear "
    "fears feared fearful afraid scary scare* scared pain pains ache* aching headache* hurt hurts hurting "
    "unsure hesita* skeptic* sceptic* regrettabl* flaw flaws flawed fatigue* suspicious* overwhelm* "
    "mistreat* mislead misses weirdo creepy creep creeps unfinished lonelier lame lamer smelly expired "
    "short-lived worn-out lacklustre lackluster disconnect* malfunction* inferior unplayable",
    -2: "whore* fuming tricked inoperable disdain* mishandl* misinform* shattered spoiled rotten moldy mouldy "
    "contaminat* tasteless undercooked overcooked filthy foul exorbitant extortion* unjustified unethical "
    "shady bogus counterfeit* subpar sub-par substandard second-rate amateurish ineffective inefficien* "
    "inconsiderate insensitive uncaring unresponsive unreachable exasperat* maddening distress* dismay* "
    "displeas* discontent* discourag* disillusion* dishearten* obnoxious dismissive inept incapable bad "
    "badly poor poorly broken broke breaks defective defect defects damaged damage* disappoint* dissapoint* "
    "disapoint* frustrat* upset upsetting unhappy angry angrily anger mad rude rudely rudeness impolite "
    "careless* useless* dissatisf* unsatisf* unacceptabl* unprofessional* incompeten* misleading misled "
    "cheated cheat cheats cheater* deceiv* decept* lied lie lies lying liar* dishonest* unfair* ridiculous* "
    "nonsense shoddy faulty irritat* infuriat* fed-up hate hated hates hater* hating regret* ruined ruin "
    "ruins ruining waste wasted wastes wasting fake hopeless* joke neglect* insult* arrogan* unbelievable "
    "absurd* ashamed shame* suck sucks sucked sucky crap crappy garbage rubbish trash trashy junk refuse "
    "pathetic* sloppy stolen steal* stole theft thief thieves fraud* robbed robber* unusable nightmarish "
    "painful* aggravat* laughable inexcusable outrage* stupid* idiot* failure wretched unreasonabl* "
    "overpriced avoid avoiding avoided sad sadder saddest sadness depress* miser* grief griev* despair* "
    "desperat* heartless fuck* fucked fucker* shit* shitty bullshit bitch* bastard* asshole* wtf piss pissed "
    "pissing smh fml kill killed killing kills murder* attack* violen* victim* crime* criminal* cancer* "
    "tragic* tragedy tragedies terrif* terror* panic* rage raging ugly ugliest uglier nasty nastiest gross "
    "yuck yucky ewww* eww stink* stinks lamest dumb dumber dumbest moron* foolish* fool fools clueless "
    "ignorant worthless* meaningless pointless doom* cruel* brutal* harass* bully bullie* bullying abusive "
    "abuse* abused corrupt* destroy* destruct* wreck* wrecked crisis disrespect* betray* hostil* hatred "
    "scandal* humiliat* unbearable* intolerabl* racist* racism evil sucker* screwed unforgiv* lemon "
    "dud drunken degrad* condescend*",
    -3: "terrible terribly horrible horribly horrid horrif* awful awfully worst disgust* disgrace* scam scammer* "
    "scammed scams atrocious* appalling* abysmal* nightmare* furious* livid horrendous* despicable horrific "
    "enraged abominabl* dreadful* ripoff rip-off disaster* catastroph* loathe* loathing detest* godawful "
    "vile sickening* repulsive revolting hideous* heartbreak* heartbroken devastat* torture* rape* rapist*",
}  # fmt: skip

_PHRASES: Weights = {
    3: "couldn't be happier, could not be happier, couldn't be better, could not be better, "
    "cannot recommend it enough, can't recommend it enough, can't say enough, cannot say enough, "
    "can't praise, cannot praise, blown away, cannot thank you enough, can't thank you enough",
    2: "can't beat, cannot beat, can't be beat, cannot be beat, can't go wrong, cannot go wrong, "
    "could not be easier, couldn't be easier, no complaints, nothing to complain, never looked back, "
    "looking forward, look forward, thumbs up, five stars, well done, went well, goes well, going well, "
    "loud and clear, top of the line, couldn't be any easier, doesn't get any better, don't get any better, "
    "well made, well built, well designed, well thought out, works well, work well, worked well, works fine, "
    "works great, in love, a must have, a must buy, hands down, top quality, high quality, great value, "
    "no brainer, good value, big fan, made my day, makes my day, worth every penny, worth the money, "
    "worth the price, worth it, exceeded my expectations, beyond my expectations, like a charm, "
    "like a dream, like a glove, way to go, nothing but good, so much better",
    1.5: "can't wait, cannot wait, cant wait, could not wait, i like, we like, i really like, i also like, "
    "i especially like, i do like, you'll like, really like, like it a lot, a plus, big plus, real plus, "
    "another plus, major plus, highly rated, very well, pretty well, so well, with ease, good luck, "
    "no regrets, less expensive, not expensive, thank god, thank goodness, without a hitch, "
    "without any problems, without problems, no trouble, no problems, no issues, no hassle, no worries, "
    "sold me, good job, nice job, well worth, had fun, have fun, user friendly, on time, for free, "
    "in no time",
    -1: "no longer, not enough, too small, too big, too large, too long, too short, too tight, too loose, "
    "too high, too low, too dark, too bright, too heavy, too many, too much, too bad, too soft, too thin, "
    "too complicated, still no, still not, still waiting, been waiting, on hold, hard to, gave up, give up, "
    "giving up, supposed to, would be nice, would have been nice, would be great, would be better, "
    "could be better, should be better, should have been, oh well, sent it back, send it back, "
    "sending it back, took it back, take it back, returning it, returned it, returned mine, exchange it, "
    "return it, no luck, cut off, cuts out, cuts off, locked up, locks up, way too, over and over, "
    "wouldn't hurt, the hell, nothing special, so so, at fault, out of order, feels cheap, feel cheap, "
    "looks cheap, cheap plastic, kept freezing, had to return, had to send",
    -1.5: "no longer works, no longer working, no longer work, oh no, don't like, do didn't like, "
    "did doesn't like, no good, don't bother, do not bother, messed up, mess up, messes up, money back, "
    "stay away, steer clear, thanks for nothing, bad luck, no thanks to, give me a break, not impressed, "
    "good grief, last straw, piece of, never again, out of patience, ran out, had enough, what the hell, "
    "not happy, no use, what a shame, so what, wish i had, wish i hadn't",
    -2: "stopped working, stops working, quit working, quits working, stopped functioning, down the drain, "
    "drives me nuts, drives me crazy, drove me nuts, driving me nuts, driving me crazy, not up to the task, "
    "hung up on me, let down, let me down, lets me down, screwed up, screw up, fell apart, falls apart, "
    "fall apart, falling apart, fed up, rip off, ripped off, sick of, tired of, don't buy, do not buy, "
    "do not recommend, would not recommend, wouldn't recommend, cannot recommend, can't recommend, "
    "never buy, never order, not buy, gave out, waste of, not worth, no excuse, had it with, a disgrace, "
    "doesn't care, don't care, not care, couldn't care less",
}

ENGLISH = lexicon(
    _WEIGHTS,
    phrases=_PHRASES,
    expected="work works worked working function functions functioning open opens close closes load loads loading "
    "charge charges connect connects play plays read reads fit fits answer answers answered answering reply "
    "replied replies respond responded responds response arrive arrived hold holds turn turns recognize "
    "recognizes recognise recognises support supports help helps helped fix fixed explain explained "
    "understand find access log login sign receive received deliver delivered register install installed "
    "update updates print prints save lasts happen",
    negations="not no never none nobody nothing neither nor without hardly barely scarcely rarely seldom cannot cant "
    "dont doesnt didnt isnt wasnt arent werent wont wouldnt couldnt shouldnt havent hasnt hadnt aint nowhere "
    "zero nope nah",
    negates_before=False,
    boosters="very really extremely absolutely completely totally so too incredibly highly utterly deeply such truly "
    "super entirely simply more most far beyond pretty damn fucking freaking insanely ridiculously amazingly "
    "unbelievably awfully terribly horribly exceptionally remarkably especially particularly much way quite "
    "crazy hella definitely seriously thoroughly perfectly wonderfully extra genuinely soo",
    dampeners="slightly somewhat bit little rather fairly partly kinda sort almost minor occasionally sometimes "
    "relatively marginally moderately",
    contrasts="but however although though yet except still",
    courtesies=(
        "thanks in advance", "thank you in advance", "many thanks in advance", "thank you for your help",
        "thanks for your help", "kind regards", "best regards", "warm regards", "best wishes", "kindly",
        "thank you for your time", "yours sincerely", "thank you for your understanding", "no problem", "as well",
        "how well", "help me", "work out", "at work", "at best", "working day", "working days", "have a nice day",
        "have a good day", "have a great day", "well as", "hope this", "i hope", "i love to know", "would love to",
        "gift card", "as soon as possible", "would like", "no idea", "customer complaints", "i'd like", "i'd love to",
        "not only", "not just", "not to mention", "hard drive", "hard drives", "hard disk", "hard disc", "hard copy",
        "kind of", "what kind", "any kind", "had better", "i'd better", "you'd better", "no doubt", "no joke", "my bad",
        "fair enough", "fast forward", "fine print", "at least", "excuse me", "sorry to bother", "no wonder",
        "good friday", "super bowl", "feel free", "free of charge", "for good", "credit card", "hands free", "work on",
        "no offense", "free time", "first aid", "last but not least", "well known", "most likely",
        "good for nothing", "alarm clock",
    ),
    openings=("good morning", "good afternoon", "good evening", "good day", "well"),
)  # fmt: skip
