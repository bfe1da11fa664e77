"""The sentences of the sample clips: everyday English, written for this repository.

Those of dev and test are written one by one; those of train are drawn from patterns, so that no sentence and
no pattern is on two sides.
"""

import random
import re
from collections.abc import Iterator

TRAIN_SENTENCES = 320

TEST = """
The bakery on the corner sells fresh bread from six in the morning.
My grandmother planted this apple tree when she was only twelve.
Could you please turn down the radio while I am on the phone?
We walked along the river until the sun went down behind the hills.
The train to the coast was late again because of snow on the tracks.
She wrote her name carefully at the bottom of the last page.
If the rain stops before noon, we will eat lunch in the garden.
He forgot his umbrella on the bus and came home completely wet.
The museum is free on Sundays, but the lines are very long.
I would rather pay a little more and get a room with a view.
Nobody noticed the small door at the back of the library.
The committee agreed to meet again in the second week of March.
Their new apartment has high ceilings and large windows facing south.
Put the knives in the drawer and the plates on the top shelf.
The farmer drove forty sheep across the narrow wooden bridge.
After the concert we waited outside to thank the musicians.
It took the mechanic three hours to find the broken wire.
You can borrow my bicycle as long as you bring it back tonight.
The letter arrived two weeks after it had been posted.
Most of the children had never seen the ocean before.
Please keep your seat belt fastened until the aircraft has stopped.
The soup needs more salt, a little pepper, and some lemon juice.
Our neighbor plays the piano every evening after dinner.
The price of coffee has doubled over the past five years.
There is a spare key under the blue flower pot by the stairs.
Doctor Miller can see you on Thursday at a quarter past nine.
The old bridge was closed to traffic during the summer.
I read the whole book in one night and could not sleep afterwards.
The students asked so many questions that the lesson ran late.
A cold wind came down from the mountains and shook the windows.
Send the report to the whole team before you leave the office.
The cat was asleep on the warm engine of the parked car.
We have enough flour and sugar, but we are almost out of butter.
The guide pointed at a bright star just above the horizon.
He apologized for the mistake and offered to repair the fence.
The store does not accept credit cards for small amounts.
Her flight lands at noon, so we should leave by eleven.
They painted the kitchen yellow and the hallway light gray.
The judge asked the witness to speak more slowly and clearly.
Remember to water the plants while we are away next month.
"""

DEV = """
The mayor opened the new swimming pool with a short speech.
I can hear the neighbors arguing through the thin walls.
Add two cups of rice and stir until the water is gone.
The bus stops in front of the hospital every ten minutes.
She has worked for the same company since she left school.
There were more than two hundred people at the wedding.
The battery of my phone never lasts a whole day.
Would you mind opening the window for a few minutes?
The fisherman repaired his nets while he waited for the tide.
Our teacher told us a story about a king without a country.
The road is too narrow for two trucks to pass each other.
He counted the coins twice and put them back in the jar.
The weather forecast promises sunshine for the entire weekend.
Take the elevator to the fourth floor and turn left.
My brother repairs old clocks and sells them at the market.
The cheese from this village is known all over the country.
We ran as fast as we could, but the ferry had already left.
The doctor advised him to drink more water and to walk every day.
Her garden is full of roses, tulips, and tall sunflowers.
The meeting has been moved from Monday to Wednesday afternoon.
You will find the medicine on the second shelf behind the mirror.
The crowd became silent when the singer walked onto the stage.
I left my jacket at the restaurant where we had dinner.
The scientists measured the temperature of the lake every hour.
The children built a castle out of sand and empty bottles.
Please speak after the tone and leave your number.
The carpenter cut the board exactly in the middle.
It is much cheaper to buy the tickets in advance.
The dog barked at the mailman and hid under the table.
My sister learned to drive when she was nearly forty.
The lamp in the hallway has been broken since last winter.
A long line of cars was waiting at the border.
The actor forgot his words, but nobody in the audience noticed.
We should paint the fence before the summer is over.
The nurse wrote down my name, my age, and my address.
Strong coffee in the evening keeps me awake all night.
The company hired thirty new engineers last year.
There is nothing better than warm bread with butter.
The river was so clear that we could see every stone.
He lost his glasses somewhere between the office and the station.
"""

PATTERNS = """
{name}, please {do} before you go home {day}.
I will meet {name} at the {place} at {time}.
Turn {off} the {device} in the {room}, please.
Set a timer for {count} minutes and remind me to {do}.
The {animal} ran across the {place} and {chased} the {animal2}.
We bought {count} {fruit} and {count2} {fruit2} at the market.
Call {name} on {day} and ask about the {thing}.
The {weather} will reach {city} by {day} evening.
My {relative} lives near the {place} in {city}.
The next train to {city} leaves at {time} from platform {small}.
Could you tell me how to get from the {place} to the {place2}?
{name} and {name2} have known each other for {count} years.
It costs {count} dollars to repair the {device}.
There are {count} chairs in the {room} and {count2} in the {room2}.
Have you seen the {adjective} {thing} that I left in the {room}?
Nobody told {name} that the {place} closes at {time}.
The {adjective} {animal} slept under the {furniture} all afternoon.
She put the {thing} on the {furniture} and went to the {room}.
If it is {condition} on {day}, we will visit the {place}.
{name} paid for the {meal} because I had forgotten my {thing}.
The {job} asked us to wait in the {room} for {count} minutes.
I have to {do}, and then I have to {do2}.
After {meal} we played cards until {time}.
My {relative} works as a {job} in a small town near {city}.
You should {do} as soon as the {weather} is over.
The {job} said that the {device} could not be repaired.
Please bring {count} bottles of water and a {thing}.
In {month} we are going to {city} with my {relative}.
The meeting with the {job} was moved to {day} at {time}.
I dreamed about a {adjective} {animal} in the middle of the {place}.
What did {name} say about the {adjective} {thing}?
There is a {adjective} {furniture} for sale at the {place}.
On {day} the {place} is open until {time}.
They found the {thing} behind the {furniture}, next to a {fruit1}.
"""

WORDS = {
    "name": "Anna|Peter|Maria|Robert|Emily|Daniel|Laura|Thomas|Helen|Frank|Susan|George|Alice|Kevin|Rachel"
    "|Walter",
    "do": "water the plants|feed the cat|lock the front door|answer the letter|clean the windows|pay the rent"
    "|order more paper|call the bank|wash the dishes|check the oven|book a table for two|print the tickets"
    "|take out the garbage|write to the insurance company|pick up the children",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "month": "January|February|March|April|June|July|August|September|October|November|December",
    "place": "library|station|museum|market|harbor|airport|hospital|bakery|theater|post office|swimming pool"
    "|town hall|parking lot|old church|city park",
    "time": "six o'clock|half past seven|noon|a quarter to nine|ten o'clock|half past three|midnight"
    "|a quarter past eight|five o'clock",
    "off": "on|off",
    "device": "heater|television|washing machine|radio|printer|dishwasher|coffee machine|vacuum cleaner|fan"
    "|lamp",
    "room": "kitchen|bedroom|living room|hallway|basement|garage|bathroom|attic|office|dining room",
    "count": "two|three|four|five|six|eight|ten|twelve|fifteen|twenty|twenty five|thirty|forty|fifty|ninety",
    "small": "two|three|four|five|six|seven|eight|nine|eleven|twelve",
    "animal": "dog|cat|horse|rabbit|fox|goat|squirrel|duck|donkey|mouse|tiger|bear",
    "chased": "chased|frightened|followed|surprised",
    "fruit": "apples|oranges|lemons|peaches|melons|bananas|pears|onions|carrots|potatoes|tomatoes",
    "fruit1": "lemon|banana|peach|melon|carrot|potato",
    "thing": "letter|blue jacket|suitcase|notebook|camera|hammer|wallet|umbrella|passport|blanket|newspaper"
    "|birthday cake|ladder|phone|map",
    "weather": "storm|heavy rain|fog|snow|heat wave|cold front",
    "condition": "sunny|raining|too hot|windy|snowing|cloudy",
    "city": "Boston|Chicago|London|Paris|Berlin|Toronto|Denver|Dublin|Madrid|Seattle|Vienna|Rome",
    "relative": "sister|brother|aunt|uncle|cousin|grandfather|grandmother|daughter|son|niece",
    "adjective": "little|old|heavy|strange|green|broken|beautiful|dusty|brown|expensive|wooden|empty",
    "furniture": "table|bench|bookcase|sofa|bed|desk|wardrobe|piano",
    "meal": "breakfast|lunch|dinner|the picnic",
    "job": "dentist|plumber|teacher|lawyer|waiter|nurse|mechanic|librarian|photographer|gardener|reporter",
}


def written(block: str) -> list[str]:
    """Return the sentences of a block, one a line."""
    return block.strip().splitlines()


def train_sentences(seed: int = 1) -> Iterator[str]:
    """Yield new sentences, the patterns in turn, without end."""
    rng, seen = random.Random(seed), set[str]()
    while True:
        for pattern in written(PATTERNS):
            sentence = filled(pattern, rng)
            if sentence not in seen:
                seen.add(sentence)
                yield sentence


def filled(pattern: str, rng: random.Random) -> str:
    """Return `pattern` with a word for each {kind}; {kind2} is another word of the same kind."""
    drawn: dict[str, str] = {}

    def draw(kind: re.Match[str]) -> str:
        words = WORDS[kind[1]].split("|")
        drawn[kind[0]] = rng.choice([w for w in words if w not in drawn.values()])
        return drawn[kind[0]]

    sentence = re.sub(r"\{([a-z]+1?)2?\}", draw, pattern)
    sentence = re.sub(r"\ba (?=[aeiou])", "an ", sentence)
    return sentence[0].upper() + sentence[1:]
