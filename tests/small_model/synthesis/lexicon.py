"""The words of the synthetic sentences: sentence patterns, and the lists that fill their slots.

A pattern is a sentence with `{slot}` where one entry of `SLOTS[slot]` goes; entries may hold slots too.
Slots that are computed (`{number}`, `{time}`, `{date}`, `{digits}`) belong to `grammar`.
"""

_SLOT_TABLE = """
room: kitchen|bedroom|bathroom|living room|hall|garage|office|basement|attic|dining room|guest room|nursery
lamp: lights|lamp|ceiling light|reading lamp|night light|spotlights
device: heater|fan|television|radio|coffee machine|oven|dishwasher|washing machine|vacuum|kettle|alarm|speaker
onoff: on|off
opening: door|window|gate|curtains|blinds|shutters|front door|back door
colour: red|blue|green|yellow|white|orange|purple|pink|black|brown|grey
name: Anna|Peter|Maria|James|Sarah|David|Laura|Michael|Emma|Thomas|Julia|Daniel|Sophie|Robert|Alice|Martin
family: mum|dad|my sister|my brother|grandma|grandpa|my wife|my husband|my boss|my son|my daughter|my uncle
person: {name}|{family}|the doctor|the dentist|the plumber|my teacher|our neighbour
city: London|Paris|Berlin|New York|Boston|Chicago|Madrid|Rome|Dublin|Oslo|Tokyo|Sydney|Vienna|Toronto
country: France|Germany|Spain|Italy|Japan|Canada|Ireland|Norway|Brazil|India
weekday: Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday
when: today|tomorrow|tonight|this afternoon|this evening|tomorrow morning|on {weekday}|next week|at {time}
food: bread|milk|butter|cheese|eggs|apples|bananas|tomatoes|potatoes|onions|rice|pasta|chicken|fish|sugar|salt
grocery: {food}|coffee|tea|orange juice|water|chocolate|honey|carrots|lemons|soap|toilet paper|batteries|flour
amount: a bottle of|a box of|two packets of|some|more|a bag of|half a pound of|three cans of|a loaf of
dish: soup|salad|pizza|a sandwich|pancakes|breakfast|lunch|dinner|a cake|curry|noodles
genre: jazz|rock|classical music|pop|country music|blues|folk songs|dance music|some music|quiet music
media: {genre}|the news|my favourite song|an audio book|the next track|the last album|a podcast
weather: rain|snow|wind|fog|sunshine|thunder|frost|clouds|a storm
feel: warm|cold|hot|cool|wet|dry|cloudy|sunny|windy|humid
mood: happy|tired|hungry|busy|sorry|ready|sick|late|angry|bored|fine|afraid|proud|lonely|thirsty
event: meeting|party|appointment|concert|lesson|interview|wedding|conference|game|class|birthday|holiday
place: station|airport|hospital|school|library|museum|supermarket|bank|post office|park|hotel|restaurant|beach
street: Main Street|Oak Avenue|Church Road|Park Lane|Station Road|High Street|River Drive|Hill Road|Green Lane
thing: book|phone|key|bag|jacket|umbrella|ticket|letter|camera|bicycle|watch|wallet|passport|shirt|hat|box
adjective: big|small|old|new|long|short|heavy|light|strange|beautiful|quick|slow|strong|soft|clean|dirty|open
animal: dog|cat|horse|bird|mouse|cow|sheep|duck|rabbit|bear|lion|fox
noun: {thing}|{animal}|house|garden|river|mountain|tree|flower|car|train|bus|boat|bridge|road|forest|table
verb: carry|find|watch|follow|paint|clean|move|keep|draw|break|fix|lose|sell|buy|hide|push|pull
past: lost|found|bought|sold|broke|cleaned|painted|forgot|saw|opened|closed|dropped|kept|carried|washed
job: driver|nurse|farmer|lawyer|writer|singer|engineer|student|pilot|cook|artist|guard
time_unit: minutes|hours|seconds|days|weeks
message: I will be late|call me back|dinner is ready|we are on our way|see you soon|I am at work
politely: please|now|again|right away|later|for me
manner: slowly|quickly|carefully|quietly|together|alone|outside|inside|upstairs|downstairs|every day|once more
position: under|behind|near|beside|above|across from|in front of|between us and|around|over|next to
count: one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty-five
ordinal: first|second|third|fourth|fifth|last|next
degree: sixteen|eighteen|nineteen|twenty|twenty-one|twenty-two|twenty-five|sixty-five|seventy
school: history|science|maths|geography|music|art|English|French|German
sport: football|tennis|golf|chess|hockey|cricket|swimming|running|basketball
body: head|hand|foot|back|tooth|knee|eye|ear|arm|shoulder|throat|finger
"""

_PATTERN_TABLE = """
Turn {onoff} the {lamp} in the {room}.
Turn the {lamp} {onoff}, please.
Switch {onoff} the {device}.
Please switch the {device} {onoff} {when}.
Dim the {lamp} to {count} percent.
Make the {lamp} {colour}.
Set the {lamp} in the {room} to {colour}.
Is the {device} in the {room} still on?
Open the {opening} {politely}.
Close the {opening} in the {room}.
Did you lock the {opening}?
Who left the {opening} open?
Lock the {opening} at {time}.
Set the heating to {degree} degrees.
Make it {count} degrees warmer in the {room}.
It is too {feel} in the {room}.
What is the temperature in the {room}?
Turn the volume up, please.
Turn the sound down a little.
Play {media}.
Play {media} in the {room}.
Stop playing {media}.
Skip this song and play {media}.
Who sings this song?
Pause the music for {count} {time_unit}.
Set a timer for {count} {time_unit}.
Cancel the timer for the {dish}.
How much time is left on the timer?
Wake me up at {time}.
Set an alarm for {time} on {weekday}.
Remind me to call {person} {when}.
Remind me about the {event} {when}.
Remind {person} to bring the {thing}.
Call {person}.
Call {person} on the mobile phone.
Call {digits}.
My number is {digits}.
Please dial {digits}.
The code is {digits}.
Send a message to {person}.
Tell {person} that {message}.
Text {person}, {message}.
Write an email to {person} about the {event}.
Read my new messages.
Do I have any missed calls from {person}?
Leave a message after the tone.
Hello, this is {name} speaking.
Hello {name}, how are you {when}?
Good morning, {name}.
Good evening, how can I help you?
Good night and sleep well.
Nice to meet you, {name}.
Thank you very much, {name}.
You are welcome.
Excuse me, where is the {place}?
Goodbye, see you {when}.
I am {mood}, thank you.
I am so {mood} {when}.
Are you {mood}?
Why are you always {mood}?
{name} is {mood} because of the {weather}.
Add {grocery} to the shopping list.
Add {grocery} and {grocery} to my list.
We need {amount} {grocery}.
Could you buy {amount} {grocery}?
How much does the {thing} cost?
It costs {number} dollars.
The {thing} costs {count} pounds and {count} pence.
I would like {dish}, please.
What are we having for dinner {when}?
Put the {food} in the fridge.
How long should I boil the {food}?
Cut the {food} and add {grocery}.
Let us make {dish} with {food}.
What is the weather like in {city}?
Will there be {weather} in {city} {when}?
It will be {feel} and {feel} {when}.
There was {weather} all day in {country}.
Do I need an umbrella {when}?
My {event} is on {date}.
The {event} starts at {time}.
Can we move the {event} to {time}?
I have an appointment with {person} at {time}.
Cancel my {event} on {weekday}.
When is the {ordinal} {event} of the month?
The {ordinal} train leaves at {time}.
It is {time}.
The bus to {city} leaves at {time}.
I was born on {date}.
The shop opens at {time} and closes at {time}.
My address is {count} {street}.
I live at {count} {street}, {city}.
Send the {thing} to number {count}, {street}.
Drive to the {place} on {street}.
How far is it to {city}?
It is {number} miles to {city}.
Turn left at the {place}, then turn right.
Take me to the nearest {place}.
How do I get to the {place} from here?
Find a {place} near {street}.
Book a table for {count} people {when}.
Book a flight to {city} on {date}.
We are flying to {country} {when}.
I want to go to {country} in {month}.
The {noun} is {position} the {noun}.
The {adjective} {noun} is {position} the {adjective} {noun}.
I {past} my {thing} at the {place}.
{person} {past} the {adjective} {noun}.
They {past} the {noun} {position} the {place}.
Please {verb} the {adjective} {thing}.
We should {verb} the {noun} {manner}.
Can you {verb} the {noun} for {person}?
She wants to {verb} the {noun} {manner}.
He cannot {verb} the {thing} with one {body}.
My {body} hurts.
The {job} has a {adjective} {thing}.
{person} works as a {job} in {city}.
Is your father a {job}?
The {animal} sleeps {position} the {noun}.
The {colour} {noun} belongs to {name}.
Have you seen my {colour} {thing}?
Where did you put the {thing}?
Which {noun} do you like better?
What did the {job} say about the {noun}?
I think the {noun} is too {adjective}.
I do not know what to say.
That sounds like a great idea.
Maybe we could play {sport} {when}.
Do you like {sport} or {sport}?
He learns {school} and {school} at school.
The {school} class has {number} students.
There are {number} people in the {place}.
The answer is {number}.
Count from {count} to {count}.
What is {count} plus {count}?
What is {number} minus {count}?
Wait a moment, I will check that for you.
Sorry, could you repeat the {ordinal} word?
Yes, that is right.
No, that is wrong.
Okay, let us start again {politely}.
Nobody was {mood} after the {event}.
Everybody came to the {event} with {dish}.
I have never been to {country} before.
If it is {feel}, we stay at home.
After the {event} we went to the {place} and had {dish}.
Don't forget the {thing}, it's {position} the {noun}.
I'm sure they'll {verb} it {when}.
We can't hear you, please speak up.
What's your name?
Let's meet at the {place} at {time}.
You shouldn't {verb} {name}'s {thing}.
Thanks for calling, how may I direct your call?
Press {digit} to speak with the {job}.
Your order number is {digits}.
Page {number}, line {count}.
Room {number} is on the {ordinal} floor.
The password has {count} letters.
Is anybody there?
Please hold the line.
"""

MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)


def _table(text: str) -> dict[str, tuple[str, ...]]:
    rows = (line.split(":", 1) for line in text.strip().splitlines())
    return {name: tuple(entry.strip() for entry in entries.split("|")) for name, entries in rows}


SLOTS: dict[str, tuple[str, ...]] = {**_table(_SLOT_TABLE), "month": MONTHS}
PATTERNS: tuple[str, ...] = tuple(_PATTERN_TABLE.strip().splitlines())
