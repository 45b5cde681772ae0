"""The plots of the stories: beats, each with several wordings, in the patterns of phrases.py.

A beat ends with `---`; one that begins with `//` begins a paragraph. {hero}, {friend}, {thing}, {place} and so on are
filled in by stories.py; {he}, {him}, {his} stand for the hero and {fhe}, {fhim}, {fhis} for the friend.
"""

PLOTS = {}


def plot(name, text, kinds=None):
    beats = [[line for line in beat.strip().splitlines() if line] for beat in text.strip().split("---")]
    PLOTS[name] = (beats, kinds)


plot("lost thing", """
{Hero} had {a_thing}, and {he} (loved it very much|took it everywhere|would not give it away for anything).
What {hero} (loved|liked) (most|best) was {his} {thing}.
{Hero} owned only one thing, and that was {a_thing}.
Of all things in the world, {hero} liked {his} {thing} best.
---
One (morning|day|evening), the {thing} was gone.
But one (morning|day) {he} woke up, and the {thing} was (gone|not there).
One day, {he} put {his} hand out for the {thing}, and it was not there.
---
{Hero} looked under the bed, behind the door and even in the soup pot. (Nothing|It was not there).
{Hero} searched (high and low|everywhere|the whole morning), but {he} could not find it.
"Where can it be?" said {hero}, and looked (here and there|in every corner), but {he} found (nothing|only dust).
---
// Then {friend} came by. "Why are you so (sad|quiet|worried)?" {fhe} asked.
// "What are you looking for?" asked {a_friend} who (was passing by|lived nearby|had been watching).
// On the way {he} met {a_friend}. "You look sad," said {friend}.
---
"I have lost my {thing}," said {hero}, and (a tear ran down|{his} voice shook).
"My {thing} is gone," said {hero}. "I do not know where to look."
---
"Let us look together," said {friend}. "Four eyes see more than two."
"Think," said {friend}. "Where were you when you had it last?" {Hero} thought and thought.
"Do not cry," said {friend}. "Two can look in twice as many places."
---
So they (went|walked) {to_place} and looked (behind every stone|in every corner|under every leaf).
They looked {at_place}, (step by step|very slowly|until the sun was low).
They went back the whole way that {hero} had come, (past the old gate|over the little bridge|along the wall), and came {to_place}.
---
And there, (under a leaf|between two stones|in the grass|on a low branch|behind an old box), something (shone|glittered|caught the light). It was the {thing}!
"Look!" cried {friend}. There lay the {thing}, (a little dusty|a little wet|quite unharmed), (just where {hero} had rested yesterday|where nobody had looked).
A (mouse|bird|child) had found the {thing} and kept it safe. "Is this yours?" (it asked|came a small voice). "I was waiting for somebody to ask."
---
// {Hero} (jumped for joy|laughed out loud|danced in a circle). "Thank you, {friend}. Without you I would never have found it."
// {Hero} held the {thing} tight. "I am glad that it is back," {he} said, "but I am gladder that you helped me."
---
From then on {he} lent the {thing} to {friend} every (Sunday|evening), and it was never lost again.
And from that day, {hero} and {friend} looked for everything together.
That evening they sat side by side, and the {thing} lay between them.
""")

plot("found thing", """
One (day|morning|afternoon), {hero} found {a_thing} {at_place}.
One (windy|sunny|grey|cold) (morning|day), {at_place}, something lay in front of {hero}: {a_thing}.
As {he} walked along {at_place}, {he} saw something in the (grass|dust|leaves). It was {a_thing}.
---
"What a fine {thing}!" said {hero}. "(Whose can it be|Who has lost it|What is it good for)?"
{He} picked it up and turned it around. Nobody was there who could have lost it.
"Who would leave a {thing} here?" {hero} wondered, and took it along.
---
// {He} asked (the baker|an old woman|the postman|the miller), but the {thing} was not (hers|theirs|known to anybody).
// {He} asked everyone (on the road|in the neighbourhood), and everyone shook their head.
// {He} asked the crow on the fence. "Not mine," said the crow. {He} asked the cat at the door. "Not mine," said the cat.
---
At last {he} (met|came to) {a_friend} who (sat on a stone|looked very sad|was searching the ground).
Then {he} heard somebody (crying softly|sigh). It was {a_friend}.
---
"I have lost the {thing} that my (grandmother|father|best friend) gave me," said {friend}. "Without it I cannot sleep."
"Something is missing," said {friend}, "and I have looked for it for three days. It is a {thing}."
---
{Hero} looked at the {thing}. {He} liked it so much already. It would have been easy to say nothing.
For a moment {hero} wanted to keep it. Nobody would ever know.
{Hero} held the {thing} behind {his} back. {His} heart was beating fast.
---
But then {he} held it out. "Here," {he} said. "I found it, and it is yours."
But {hero} looked at {friend}'s face and could not keep it. "Is it this one?" {he} asked.
---
// {Friend} (could hardly believe it|laughed and cried at once|clapped for joy). "You are honest," {fhe} said. "I will never forget it."
// {Friend}'s face became (bright as the sun|bright). "Thank you! Come to my house, I have {food} for both of us."
---
They ate {food} together until the stars came out, and {hero} went home without the {thing}, but with a new friend.
And so {hero} lost a {thing} that day and found a friend, which is the better thing to have.
They became friends that evening, and {friend} often let {hero} use the {thing}.
""")

plot("lost way", """
One (evening|afternoon|day), {hero} went out {to_place}, although the {weather} was coming.
One day, {hero} wanted to (visit {his} aunt|fetch some wood|see the sunset), and the way led {to_place}.
{Hero} had gone out to (look for berries|see how far the road goes|follow a butterfly), farther than ever before.
---
Then the {weather} came, so (thick|strong|sudden) that {he} could not see the path.
Soon there was {weather} all around, and {he} did not know (left from right|the way any more).
The {weather} grew worse, and when {he} turned around, the way was gone.
---
"Hello?" called {hero}. Only the (wind|echo) answered.
{Hero} walked on and on, and after an hour {he} came to {his} own footprints. {He} was lost.
{Hero} sat down under a (tree|rock). {He} was cold and (hungry|tired|a little afraid). "I am lost," {he} said in a small voice.
---
// Then {he} saw a light. It came nearer and nearer. It was {a_friend} with a (lantern|lamp|small light).
// "Who is there?" asked a voice. It was {a_friend}.
// Something moved {at_place}. {Hero} held {his} breath. But it was only {a_friend}.
---
"I am {hero_name}," said {hero}, "and I cannot find the way home."
"I have lost my way," said {hero}. "Can you help me?"
---
"I know every stone here," said {friend}. "Hold on to me, and do not let go."
"Nobody is lost who asks," said {friend}. "Come, I know the way."
"In {weather} like this you must go slowly," said {friend}. "Step where I step."
---
They went step by step, and {friend} (sang a song|told stories|hummed), so that the way was not so long.
On the way {friend} gave {him} half of {fhis} (bread|apple|cake), and {hero} felt warmer.
They walked for a long time, and whenever {hero} was afraid, {friend} said, "One more step."
---
// At last there was a light in a window. "There is my home!" cried {hero}.
// Then the {weather} (ended|grew weaker), and there, below them, lay {hero}'s home.
---
"Come in and get warm," said {hero}, and they had {food} by the fire.
{Hero} thanked {friend} a hundred times, and since then there is always a lamp in {his} window, for anybody who is lost.
{Hero} hugged {friend}. "Next time I will ask you first," {he} said, and {friend} laughed.
""")

plot("sharing", """
{Hero} and {friend} lived side by side and had only one {thing}.
{Hero} and {friend} were friends, and together they owned {a_thing}.
{Hero} had {a_thing}, and {friend} had none.
---
When the sun shone, that was no trouble. But one day the {weather} came.
Most days that was fine. But one (day|morning) both wanted the {thing} at the same time.
For a long time they took turns. But then came a day of {weather}, and both needed it.
---
// "It is mine," said {hero}. "No, it is mine," said {friend}. They pulled, (one on each side|this way and that way), and (it nearly broke|the {thing} creaked).
// "I had it first," said {friend}. "But I need it more," said {hero}. They did not (speak|look at each other) for the rest of the day.
// "You had it yesterday," said {hero}. "And you had it the day before," said {friend}. Their voices grew louder and louder.
---
So each went home alone, and both were (sad|cold|unhappy). The {thing} lay (outside|on the ground|between their doors), and nobody had it.
In the end neither had it, and both sat (at home|in a corner) and were (cross|lonely).
---
// In the evening {hero} thought, "What use is a {thing} without a friend?"
// {Hero} could not sleep. "I would rather have my friend than the {thing}," {he} thought.
---
{He} knocked at {friend}'s door. "You may have it," {he} said. "No, you," said {friend}, and they both began to laugh.
{He} took the {thing} to {friend}. And who came the other way, to say sorry? It was {friend}.
---
"There is room for two, if we stand close," said {friend}. And it was true: the {thing} was big enough for both.
"Let us use it together," said {hero}. They tried it, and it was much more fun.
"In the morning it is yours, in the evening it is mine," said {friend}, "and on Sundays it is ours."
---
// From then on {hero} and {friend} shared the {thing}, and sometimes a (piece of cake|pot of tea|bag of nuts) as well.
// Since then you can see them {at_place}, {hero} and {friend}, with one {thing} for both, and they never quarrel about it.
""")

plot("afraid", """
{Hero} was not afraid of (work|bees|rain) or of (wolves|cold water|big words). But {he} was afraid of {fear}.
There was one thing that {hero} told nobody: {he} was afraid of {fear}.
{Hero} could do many things, but {he} was afraid of {fear}.
---
Whenever {he} thought of it, {his} (knees shook|heart beat fast|voice became very small).
When the others laughed and played, {hero} stayed behind and said, "I am (tired|busy)."
"What if something happens?" {he} always thought, and {he} stayed where {he} was.
---
// One (evening|night|day), {friend} came. "I need your help," said {fhe}. "My {thing} is still {at_place}, and I cannot get it alone."
// One day {hero} heard a cry {at_place}. It was {a_friend} who called for help.
// One (night|evening), {a_friend} knocked at the door. "Please come," {fhe} said. "Somebody must fetch the {thing}, and I am too small."
---
{Hero} swallowed. "I cannot," {he} said. "I am afraid of {fear}."
"I would like to," said {hero}, "but I am so afraid of {fear}."
---
{Friend} did not laugh. "I am afraid sometimes too," {fhe} said. "Then I (count to ten|sing a little song|take a deep breath) and take one step."
"Everybody is afraid of something," said {friend}. "I am afraid of {other_fear}. Let us go together, hand in hand."
"Being afraid is no shame," said {friend}. "Look, I will go with you, and we go slowly."
---
// So {hero} took one step, and then another. {His} heart was beating like a drum. But nothing bad happened.
// {Hero} took a deep breath and went. One step. Two steps. Three steps. It was not as bad as {he} had thought.
---
And then {he} saw that (it was quite beautiful|there was nothing to fear|it was only half as bad): (the stars were out|a small light shone|everything was quiet and soft).
After a while {he} noticed that {he} had forgotten to be afraid.
---
Together they got the {thing} and brought it home.
They found the {thing}, and {hero} carried it all the way {himself}.
---
// "You did it," said {friend}. "(A little|Only a little) help," said {hero}, and (smiled|was very proud).
// "You were very brave," said {friend}. {Hero} smiled. "I was afraid all the time," {he} said. "But I went."
---
Since then, {hero} is still a little afraid of {fear}. But {he} knows that one step is enough to begin.
From that day on, whenever {fear} came near, {hero} thought of that evening and was not so afraid any more.
""")

plot("unlike friends", """
{Hero} was (small|quick|quiet), and {friend} was (big|slow|loud). Nobody thought that they could be friends.
Nobody could be more different than {hero} and {friend}. One liked the morning, the other the night.
{Hero} lived on one side {of_place} and {friend} on the other, and they had never spoken.
---
"What can such a one do for me?" thought {friend}, and (laughed|walked by|shook {fhis} head).
When they met, {friend} laughed. "You are so strange," {fhe} said. "What are you good for?"
They looked at each other and did not know what to say, so they said nothing.
---
{Hero} only smiled. "One day you may need me," {he} said.
That made {hero} sad, but {he} said politely, "Good morning," as {he} did every day.
---
// Then one day {friend} was in trouble. {Fhe} was (caught in a net|stuck in the mud|stuck between two rocks), and could not (move|get out), however hard {fhe} tried.
// One (night|day) the {weather} came, and {friend} could not get home. {Fhe} called for help, but all the (big|strong) ones had (gone|run away).
// One day {friend} had lost {a_thing} in a (hole|crack) {at_place}, and {fhe} could not reach it.
---
{Hero} heard it and came (running|at once). "Wait," {he} said, "I will help you."
Only {hero} came. "Let me try," {he} said.
---
{He} (worked|pulled and pushed|tried) for an hour, (bit by bit|quietly and patiently), until it was done.
And what nobody big could do, {hero} did: {he} found the (right place|little gap), and soon {friend} was free.
---
// "I laughed at you," said {friend}, "and you helped me. I am sorry."
// {Friend} was ashamed. "I did not know how much you can do," {fhe} said. "Will you be my friend?"
---
"Then let us begin again," said {hero}. "Good morning, I am {hero_name}."
"With pleasure," said {hero}. "Shall we have some {food}?"
"That is forgotten," said {hero}. "Come, sit with me."
---
And so {hero} and {friend} became friends. {Friend} (carried {hero} on {fhis} back|reached the apples that hung high), and {hero} (found the smallest berries|told the best stories).
From that day on, they were friends, and whoever saw {hero} and {friend} together {at_place} had to smile.
""")

plot("work for another", """
{Hero} made the best {food} far and wide, and people came from everywhere to (taste|buy) it.
Every morning, {hero} got up before the sun and made {food}.
{Hero} worked {at_place} and made {food} every day.
---
One day, the ground shook a little, and at the door stood {a_friend}.
One (morning|evening), {a_friend} came in, and everybody else (ran away|hid under the table).
Then one day there was a knock, and outside stood {a_friend}.
---
"I have heard of your {food}," said {friend}. "Nobody ever makes any for me. They are all afraid, or they think that I do not like it."
"Please," said {friend}, "can you make {food} for me? I am so hungry, and nobody lets me in."
---
{Hero} was afraid (at first|for a moment). But then {he} saw that {friend} had (sad|kind|tired) eyes.
{Hero}'s hands shook a little. But {he} thought, "Whoever asks so politely gets an answer."
---
// "Sit down," said {hero}. "For you I need the biggest pot that I have." And {he} worked all day.
// So {hero} made {food}, more than ever before. It took the whole (night|afternoon), and {a_thing} had to serve as a spoon.
---
{Friend} tasted it, very carefully. Then a big smile came. "It is (warm|wonderful)," {fhe} said. "It tastes like home."
{Friend} ate and ate, and when all was gone, {fhe} said thank you three times.
---
// But how could {friend} pay? {Fhe} had no money. "I can (keep the oven warm|carry the heavy bags|light the fire)," {fhe} said.
// "I have no coins," said {friend}, "but I have strong arms. Let me help you."
---
From then on they worked together. {Hero} made the {food}, {friend} did the heavy work, and soon nobody was afraid any more.
So {friend} came every day, and the people saw how friendly {fhe} was. Soon they sat at one table, and {hero} made {food} for all.
""")

plot("journey", """
{Hero} had never been farther than the garden gate, but {he} dreamed of {dream}.
Every evening {hero} looked out of the window and dreamed of {dream}.
{Hero} had one great wish: {he} wanted to see {dream}.
---
"Then go," said {his} (grandmother|old neighbour|mother), and gave {him} {a_thing} for the way.
One morning {he} took {a_thing}, a piece of (bread|cheese), and set off.
So {he} packed a small bag. The only thing in it was {a_thing}.
---
// On the first day, {he} came to a river without a bridge. {He} (waited|thought) until a (boat|log) came by, and crossed it.
// First the way went uphill, so steep that {he} had to rest at every stone.
// First {he} came {to_place}. It was bigger than {he} had thought, and {he} nearly turned back.
---
On the second day {he} met {a_friend}. "Where are you going?" asked {friend}. "To see {dream}," said {hero}. "May I come along?" asked {friend}.
There {he} met {a_friend} who was (sitting by the road|lost in thought|repairing a wheel). "I have always wanted to see {dream} too," said {friend}.
---
So they went on together. When {hero} was tired, {friend} told a story, and when {friend} was tired, {hero} did.
They shared the (bread|cheese) and the blanket, and at night they looked at the stars.
Once the {weather} came, and they sat it out under a rock, with the {thing} between them.
---
// On the seventh day they (climbed|came over) the last hill. And there it was: {dream}.
// At last they saw it. {dream_upper}! They stood still and did not say a word.
---
"It is (bigger|more beautiful|quieter) than I thought," said {hero} (after a while|softly).
"I thought that I would shout for joy," said {hero}, "but I only want to look."
---
They stayed until the sun went down. Then {hero} said, "Now I would like to go home and tell everybody."
They stayed three days. Then {hero} began to think of {his} own (bed|garden|door).
---
// The way back was shorter, as ways back are. And at home {hero} put the {thing} in the window, to remember the journey.
// When {he} came home, everything looked the same, and yet it was new, because {hero} had seen the world and had a friend in it.
""")

plot("broken thing", """
One day, {hero} was playing {at_place} with {friend}'s {thing}, although {he} had not asked.
{Friend} had {a_thing}, and {hero} was allowed to look at it but not to touch it.
---
It slipped, it fell, and (crack|crash|snap)! The {thing} was broken.
But {hero} took it down from the shelf, only for a moment, and then it fell. It broke in two.
---
{Hero} was frightened. {He} hid the pieces (under the bed|in a flower pot|behind the door|under the leaves) and ran away.
"Nobody has seen it," thought {hero}, and hid the pieces. But {his} stomach hurt.
---
// "Have you seen my {thing}?" asked {friend} the next day. "No," said {hero}, and looked at {his} feet.
// The next day {friend} looked for it everywhere. "Maybe it was (the wind|a thief|the cat)," said {hero}. {He} felt very small.
---
That night {hero} could not sleep. The moon looked in as if it knew everything.
All day {he} thought of it. The {food} did not taste good, and playing was no fun.
---
// In the morning {he} took the pieces and went to {friend}. "It was me," {he} said. "I broke it, and then I lied. I am sorry."
// At last {he} could bear it no longer. {He} brought the pieces. "I broke your {thing}," {he} said, "and I am very sorry."
---
{Friend} was silent for a while. Then {fhe} said, "I am sad about the {thing}. But I am glad that you told me."
{Friend} looked at the pieces. "It took courage to tell me," {fhe} said. "Things can be mended."
---
They took some glue and a (ribbon|piece of string) and mended it together. It had a crack now, but it was whole.
So they sat down and mended it, piece by piece, and it took until evening.
---
// The {thing} has a crack to this day. "That is where the truth came in," says {friend}, and both laugh.
// Since then, {hero} asks first. And when something breaks, {he} tells it at once.
""")

plot("gift", """
It was {friend}'s birthday, and {hero} had no gift.
Tomorrow was {friend}'s birthday. {Hero} wanted to give {fhim} something, but {he} had no money at all.
---
{He} looked in all {his} pockets and found only (a button|a nut|a bit of string).
"What can I give?" thought {hero}. {He} owned nothing but {a_thing}, and it was old.
---
// {He} went {to_place} to find something. There {he} found a (round stone|blue feather|yellow leaf), but the {weather} (took it away|ruined it).
// {He} tried to bake {food}, but it burned. {He} tried to pick flowers, but the {weather} had come.
---
{He} met an old (owl|woman|tortoise|man). "The best gifts are not bought," (was the answer|said the old one). "They are made of time."
"Give what you have," said a (small|quiet) voice. It was only a (sparrow|mouse), but it was right.
---
// So {hero} sat down and polished {his} {thing} until it shone.
// So {hero} worked all night with {his} {thing}, and in the morning something was ready.
---
When {friend} opened the door, {hero} said, "I have only my {thing}. But I will come every day this week and (help you|play with you|read to you)."
"This is for you," said {hero}. "It is only {a_thing}, but I made it nice, and I give you the whole day with it."
---
{Friend} was so happy that {fhe} could not speak. "Nobody has ever given me a whole day," {fhe} said at last.
"It is the best gift of all," said {friend}, and hugged {hero}.
---
// They ate {food}, they laughed, and they used the {thing} until it was dark.
// It was the finest birthday, and of all the gifts, the {thing} has the best place in the room.
""")

plot("storm rescue", """
One night, a great storm came up {at_place}.
One evening, the sky turned black and the {weather} came, stronger than ever.
In the middle of the night {hero} woke up. The {weather} was shaking the (walls|windows).
---
{Hero} heard somebody call, far away: "Help! Help!"
Through the noise {he} heard a small voice. It was {friend}, who was out there.
---
// "Do not go," said the others. "You are too small." But {hero} was already on the way.
// {Hero} did not think long. {He} took {his} {thing} and went.
---
The waves were as high as houses and the wind pulled at {him}, but {hero} held on.
Step by step {he} went against the wind, and the {thing} helped {him} to find the way.
{He} could not see {his} own (nose|hand), but {he} followed the voice.
---
There was {friend}, (cold|wet) and afraid, (holding on to a rock|on the last dry stone|under a fallen tree).
At last {he} found {friend}, who was (shaking|holding on with the last strength).
---
"Hold on to the {thing}!" called {hero}. {He} pulled with all {his} strength, once, twice, and the third time it worked.
"I have you," said {hero}. "Do not let go." And slowly, very slowly, they came back.
---
// In the morning the sun came out. Everything was wet and bright. "You saved me," said {friend}.
// When the {weather} was over, all came to look. "We thought that you were too small," they said. "So did I," said {hero}.
---
They put up a light {at_place}, and {hero} looks after it to this day, so that nobody is lost in the storm.
And {hero} and {friend} sat in the sun, dried their things and had {food}.
""")

plot("newcomer", """
One day, {a_friend} moved in {at_place}. Nobody knew {fhim}, and nobody said hello.
There was somebody new {at_place}: {a_friend}. {Fhe} sat alone and looked at the ground.
---
"{Fhe} talks in a strange way," said some. "{Fhe} looks so different," said others.
The others whispered and kept away. "Who knows what {fhe} eats," they said.
---
// {Hero} was shy too. But {he} thought, "How would I feel if I were new here?"
// {Hero} watched for three days. Then {he} took {his} {thing} and went over.
---
"Hello, I am {hero_name}," {he} said. "Would you like to (see|try) my {thing}?"
{He} did not know what to say, so {he} only held out the {thing}.
---
{Friend} looked up. Nobody had been so friendly for a long time. "I am {friend_name}," {fhe} said softly. "Where I come from, we had such a {thing} too."
{Friend} smiled for the first time. And then {fhe} showed {hero} what one can do with it: (tricks|games|things) that nobody here had seen before.
---
// The others came nearer, one by one, until they all sat in a circle.
// Soon there was laughter, and the others came out of their houses to see what was going on.
---
"Can we join in?" they asked. "Of course," said {hero} and {friend} at the same time.
In the evening {friend} made {food} in the way of {fhis} home, and everybody wanted more.
---
// Since then, whoever comes new {to_place} hears a friendly word on the first day.
// "I was so afraid of being alone," said {friend}. "And I was afraid to say hello," said {hero}. They both laughed.
""")

plot("contest", """
Once a year there was a great race {at_place}, and this year {hero} wanted to take part.
One summer a contest was held {at_place}. Whoever came first was to get {a_thing}.
---
"You?" laughed the others. "You will come last."
Everybody thought that {friend} would win, because {fhe} was the (fastest|strongest).
---
// They all set off. {Friend} was in front, and {hero} was far behind.
// The signal sounded, and off they went. {Hero} ran as fast as {he} could.
---
Halfway, {hero} saw that {friend} had fallen. {Fhis} foot hurt, and {fhe} could not get up.
Then {hero} heard a cry. {Friend} had fallen into a (ditch|stream), and all the others ran past.
---
If {he} ran on now, {hero} could win. The finish was already in sight.
{Hero} looked at the finish and then at {friend}.
---
// But {he} stopped. "Come," {he} said, "lean on me."
// "A race comes again," {he} thought, "but a friend needs help now." And {he} turned around.
---
Together they walked slowly to the finish. They came last, and it was already evening.
They came in when all the others were already (eating|celebrating). Nobody had ever come so late.
---
// But the people stood up and clapped louder than for the winner. And the winner (came and|himself) gave {hero} the {thing}. "You have won something that I have not," was all that was said.
// "Who has won?" asked the judge, and looked around. "I know who is the best of you." And the {thing} was given to {hero}.
---
{Hero} and {friend} put the {thing} where both could see it.
Since then {hero} and {friend} train together, slowly and with many breaks.
""")

plot("seed", """
One (spring|autumn) day, {hero} found a seed {at_place} and planted it beside {his} {thing}.
{Friend} gave {hero} a tiny seed. "Something wonderful is in it," {fhe} said. {Hero} planted it {at_place} and laid {his} {thing} beside it, to know the place.
---
The next morning {he} looked: nothing. The day after that: nothing.
{He} watered it and waited. One day, two days, a week. Nothing happened.
---
// "Grow!" called {hero}. {He} sang to it. {He} even danced. But the earth stayed brown.
// "Maybe it is asleep," thought {hero}. {He} wanted to dig it up and look.
---
"Do not dig," said {friend}. "It works where you cannot see it. Be patient."
"Patience," said {friend}. "You cannot pull a plant out of the earth. You can only wait beside it."
---
So {hero} waited. The {weather} came and went. {He} watered the place every (morning|evening).
So {hero} sat down and waited, and while {he} waited {he} learned the names of all the birds.
---
// And one morning there was a green tip, no bigger than a needle.
// Then, one day, the earth had a crack, and in the crack there was something green.
---
It grew and grew, first a leaf, then a stem, and in summer (a flower as big as a plate|a flower of seven colours|a small tree with red fruit).
Day by day it grew, until it was taller than {hero} and had (a hundred flowers|sweet fruit|a flower that shone at night).
---
// "It was worth waiting for," said {hero}, and gave the first seed to {friend}.
// "What did you do to make it grow?" asked everyone. "Nothing," said {hero}. "I waited with {friend}."
""")

plot("star", """
One night, a star fell from the sky and landed {at_place}, just beside {hero}.
One clear night {hero} saw a light fall down. It fell {to_place}, and {he} went to look. It was a little star.
---
It was no bigger than an apple, and it was crying. "I want to go home," said the star.
"I have slipped," said the star. "From up there everything looked so near."
---
// {Hero} wanted to help. {He} threw it up as high as {he} could, but it fell down again.
// {Hero} put the star on {his} {thing}, to keep it warm. "I will find a way," {he} said.
---
{He} asked {friend}, who knew a lot about high things. "We need to get to the top of the (hill|tower|mountain)," said {friend}, "and we need your {thing}."
Then {friend} came by. "Two can think better than one," {fhe} said, and they thought all night.
---
So they climbed up, with the star in a (bag|hat|basket). It lit the way for them.
They took the {thing} and climbed the highest (hill|tree|tower) {at_place}. It was steep, but the star told them stories from the sky.
---
// At the top, {hero} stood on {friend}'s shoulders, and the star stood on {hero}'s hand, and jumped. This time it stayed up.
// At the top the wind was strong. "Now!" cried {friend}. {Hero} let go, and the wind took the star up, higher and higher.
---
It blinked three times. That was its way of saying thank you.
And there it was, in its old place, and it shone brighter than all the others.
---
// Since then, one star shines just above {place}. When {hero} and {friend} look up, it blinks.
// {Hero} and {friend} lay in the grass for a long time and looked up. "It is looking at us," said {friend}.
""")

plot("music", """
{Hero} had {a_thing} and wanted to make music with it. But it sounded terrible.
Nothing made {hero} happier than music. {He} sang all day, but {he} sang very badly.
---
"Stop!" called the neighbours. "That hurts our ears."
Even the birds flew away when {he} began.
---
// So {hero} went {to_place}, where nobody could hear {him}, and practised.
// That made {him} sad. {He} put {his} {thing} away and went for a walk {to_place}.
---
There {a_friend} was listening. "That is not bad," said {friend}. "Once more, and slower."
There {he} met {a_friend}. "Why do you not play any more?" asked {friend}. "I can hear that you love it."
---
Every day {hero} came back, and every day it sounded a little better. {Friend} kept time with {fhis} foot.
So they practised together, every evening, through the summer and through the {weather}.
---
// Then came the great feast, and the musicians could not come, because of the {weather}. "Who will play for us?" everybody asked.
// One night somebody's child could not sleep, and nothing helped. "Let me try," said {hero}.
---
{Hero} took a deep breath, thought of {friend} and began. And nobody put their hands over their ears.
{Hero} played softly, with {his} {thing} in {his} hands, and it became quite still.
---
// "Is that our {hero_name}?" they whispered. When it was over, they clapped for a long time.
// "How did you learn that?" they asked. "Badly at first," said {hero}, "and then a little better every day."
---
And far in the back stood {friend} and smiled.
Since then there is music {at_place} every evening.
""")

plot("greedy", """
{Hero} liked {food} more than anything, and {he} never gave any away.
One day, {hero} found a whole basket of {food} {at_place}. "All mine!" {he} said.
---
"May I have a little?" asked {friend}. "No," said {hero}, "there is not enough."
{Friend} came by, hungry and tired. But {hero} hid the {food} behind {his} back.
---
// {He} ate and ate until {he} could not move. And then, on the way home, {he} got stuck in the (hole|gate|door).
// {He} carried it all away, though it was far too heavy, and so {he} fell into the (stream|mud), {food} and all.
---
"Help!" {he} called. The {weather} was coming, and nobody was there.
There {he} was now, and could not get out. It was getting dark.
---
// But {friend} had heard it. {Fhe} brought {a_thing} and pulled until {hero} was free.
// Who came? It was {friend}. {Fhe} held out {a_thing}, and with it {fhe} got {hero} out.
---
"Why do you help me?" asked {hero}. "I gave you nothing." "You needed help," said {friend}. "That is enough."
{Hero} was ashamed. "I did not share with you," {he} said, "and you came all the same."
---
// The next day {hero} made {food} and set two plates on the table. It tasted better than ever.
// They shared what was left of the {food}. It was only a little, and yet both were full.
""")

plot("letter", """
{Hero} had to carry a letter to {friend}, who lived far away {at_place}.
One day, {hero} was given a letter. "Take it to {friend}, {at_place}," it was said. "It is important."
---
{He} put it under {his} {thing}, so that it would stay dry, and set off.
{He} took {his} {thing} and the letter and went at once.
---
// The way was long. First came the {weather}, and {he} held the letter close.
// On the way a (fox|crow|goat) asked, "What have you got there? Is it something to eat?" "No," said {hero}, "it is only words."
---
Then the path was blocked by a fallen tree. {Hero} (climbed over it|crept under it) and tore {his} (sleeve|coat), but not the letter.
In the night {he} was tired and wanted to turn back. "Somebody is waiting for it," {he} thought, and went on.
---
// At last {he} stood before {friend}'s door and knocked. "A letter, for me?" said {friend}. "Nobody ever writes to me."
// {Friend} opened the door. {Fhe} had been alone for a long time. "Come in," {fhe} said, and {fhis} hands shook when {fhe} took the letter.
---
{Fhe} opened it and read: "You are not forgotten. Come to the feast. There will be {food}."
In it was only one line: "We miss you." {Friend} read it three times.
---
"Will you show me the way?" asked {friend}. "Gladly," said {hero}, and they set off together.
{Friend} began to smile. "That was worth the long way," said {hero}.
---
// And the way back, with the {thing} over both of them, was only half as long.
// They walked home side by side, and {hero} was prouder than any postman.
""")

plot("quiet evening", """
It was evening {at_place}, and {hero} could not sleep.
The sun had gone down {at_place}. Everybody was asleep, only {hero} was awake.
---
{He} counted sheep. {He} counted the stars. {He} turned to the left and to the right.
"Maybe it is too quiet," thought {hero}. "Or maybe it is too loud."
---
// So {he} got up quietly, took {his} {thing} and went outside.
// Then {he} saw a small light outside. Somebody else was awake.
---
There sat {friend} and looked at the moon. "You cannot sleep either?" asked {friend}.
It was {a_friend}. "I am listening to the night," said {friend}. "Sit down with me."
---
They sat side by side. An owl called. Far away, water was running over stones.
"What do you hear?" asked {friend}. {Hero} listened. "The wind," {he} said, "and my own breath, and something like a song."
---
// {Friend} told of {dream}, and {hero} told of the day, and their words became slower and slower.
// {Hero} put the {thing} over their feet. It became warm. "I was a little afraid," said {hero}. "Now I am not."
---
The moon went on its way. The {weather} was far off.
One star after another came out, as if somebody were lighting candles.
---
// "Good night, {friend}," said {hero}. "Good night, {hero}," said {friend}. And before the moon was behind the trees, both were asleep.
// And when the wind went through the grass, nobody was awake any more: not {hero}, not {friend}, and not even the wind.
""")
