"""Names and things that stories and questions are made of."""

GIRLS = """Mia Anna Lena Tilda Nora Ella Ruth Rosa Clara Ida Maya Zoe Lucy Emma Sara Nina Iris Hanna Greta Leila Amina Yuki Mei Priya
Anya Olga Freya Sofia Marta Elsa Wilma Flora Daisy Poppy Hazel Ivy Alma Vera Cora Edith Agnes Matilda Beatrix Josie Kira Lola Molly Nelly Olive
Paula Romy Stella Thea Uma Vida Willa Xenia Yara Zelda Abby Betty Carla Dora Esme Fiona Gwen Hilda Ingrid Juno Kaya Lilly Maud Nadia Orla Pia Rania
Signe Talia Una Viola Wren Zara Amara Bella Celia Dalia Eva Faye Grace Heidi Isla Jana Kim Linnea Mona Noa""".split()

BOYS = """Tom Ben Max Leo Finn Otto Karl Emil Noah Sam Jack Peter Hugo Anton Omar Ali Kenji Wei Ravi Arjun Ivan Nils Lars Erik Theo Felix Paul
Jonas Milo Arlo Rufus Jasper Henry Oscar Albert Walter Frank George Edwin Caleb Dylan Elias Fabio Gus Hector Igor Jonah Kofi Luca Mateo Nico Owen Pablo
Quentin Remy Silas Tariq Ulf Victor Wilbur Xavier Yusuf Zack Adam Boris Cyrus Dennis Ezra Fred Gil Harry Isaac Joel Kit Liam Moses Nathan Oli Percy Robin
Simon Toby Vince Will Amos Basil Cole Dan Eli Floyd Gabriel Hans Ian Jon Kurt Levi Marcus Ned Orson""".split()

PETS = """Pip Bix Bo Tuft Nib Momo Button Pepper Fern Bramble Thistle Pebble Ash Rook Moss Tansy Clover Juniper Biscuit Patch Tumble Whisker Dot
Fizz Gizmo Hop Inky Jig Kip Lark Mallow Nutmeg Oat Plum Quill Rusty Sorrel Tick Umber Velvet Wick Yarrow Zip Acorn Barley Cobble Dusty Ember Flint Ginger
Hobnob Jolly Kettle Lumi Marble Noodle Orbit Puddle Ripple Sprout Twig Wimble Bobbin Crumb Dapple Figgy Grumble Hum Jumble Mittens Nimbus Puff
Rumble Smudge Tinker Waffle Zigzag Beacon Copper Snip Tangle""".split()

SYLLABLES = "ba be bo da do el fa fi ga go ha in jo ka ki la le li lo ma me mi mo na ne no o pa pe ra ri ro sa se so ta te ti to u va ve vi wa wi ya yo za zo".split()
ENDINGS = ["n", "r", "l", "s", "m", "x", "", "", "", "k", "th", "ck", "d", "ssa", "lla", "rin", "bel", "don", "ska", "mo", "ra", "na", "lo"]

ANIMALS = """fox hare rabbit mouse owl bear wolf deer badger otter beaver squirrel hedgehog mole frog toad duck goose swan hen rooster crow raven robin
sparrow wren magpie heron stork crane eagle hawk cat kitten dog puppy cow calf sheep lamb goat pig piglet horse pony donkey mule camel elephant lion tiger
leopard monkey giraffe zebra hippo rhino crocodile turtle tortoise lizard snake snail ant bee beetle butterfly spider cricket firefly dragonfly ladybird moth
whale dolphin seal penguin crab octopus fish salmon seagull pelican parrot peacock pigeon dove bat rat hamster guinea-pig kangaroo koala panda llama
sloth reindeer moose lynx weasel stoat squid starfish jellyfish shark flamingo ostrich turkey caterpillar worm dormouse""".split()

FANTASY = """dragon giant troll fairy elf gnome wizard witch ghost unicorn mermaid goblin robot snowman scarecrow king queen prince princess knight pirate cloud
star moonbeam snowflake shadow dinosaur monster phoenix""".split()

LIVELY = """boat ship train tram bus tractor lantern teapot kettle clock kite balloon umbrella lamp bell broom rocket bicycle candle pencil windmill
lighthouse bridge tugboat truck ferry toy-car""".split()

PEOPLE = """baker farmer fisherman gardener tailor shoemaker miller teacher sailor carpenter blacksmith postman painter potter weaver shepherd clockmaker
librarian cook doctor captain beekeeper woodcutter piper musician lighthouse-keeper inventor astronaut grandmother grandfather miner juggler dancer
firefighter train-driver candlemaker nurse""".split()

CHILDREN = ["girl", "boy", "child"]

LOOKS = """small little young shy brave clever quiet merry curious old lonely kind proud cheerful sleepy hungry tired patient grumpy gentle busy tiny round
careful stubborn polite dreamy lazy grey brown white clumsy thoughtful""".split()

OBJECTS = """key lantern whistle bell drum flute violin umbrella hat scarf coat boot shoe button ring necklace coin map compass book letter pencil
candle lamp mirror clock watch kite ball balloon doll spoon pot kettle cup plate basket blanket pillow rope net hook ladder wheel cart sled boat feather shell stone
pebble pearl acorn seed apple pear plum nut pumpkin carrot cake pie loaf cookie egg flower rose leaf branch crown star box chest jar bottle bag
trumpet guitar telescope magnet paintbrush needle thread cushion teacup teapot bicycle wagon bucket broom hammer nail saw glove mitten ribbon
marble puzzle music-box snow-globe top flag sail oar anchor fishing-rod horn harp puppet mask wand lollipop pancake sandwich""".split()

LOOKS_OF_OBJECTS = """golden silver red blue green yellow old broken tiny shiny wooden little strange magic lost rusty glass paper round striped
beautiful heavy bright warm forgotten copper white black purple crooked""".split()

# The preposition that goes with each place.
PLACES = [tuple(line.split(" ", 1)) for line in """in the forest
in the old forest
in the dark wood
by the river
by the sea
on the beach
on the hill
on a green hill
in the mountains
on the mountain
in the village
in a small village
in the big city
in the harbour
at the lighthouse
in the castle
in the garden
in the kitchen
in the market
at the mill
on the farm
in the barn
in the desert
on the island
on a lonely island
in the jungle
at the lake
by the pond
in the meadow
in the valley
in the cave
under the bridge
at the railway station
in the library
at school
in the attic
in the cellar
in the tower
on the moon
on a ship
in the swamp
in the snow
in the orchard
at the bakery
in the workshop
in the museum
at the circus
in the park
at the zoo
in the clock tower
in the north
on the ice
in the reeds
at the crossroads
in the hollow tree
at the well
under the old oak
in the theatre
in the windmill
in the hotel
in the submarine
in the tunnel""".splitlines()]

WEATHER = ["rain", "snow", "fog", "storm", "wind", "thunder", "frost", "heat"]

# A theme, and what a story on it ends with.
THEMES = {
    "kindness": ["(A little|Even a small) kindness goes a long way.", "Kindness costs nothing, and it always comes back.", "It is good to be kind, even when nobody looks."],
    "courage": ["To be brave is to be afraid and to go on all the same.", "Courage can be very small and still be courage.", "One brave step is enough to begin."],
    "friendship": ["A friend makes the way half as long.", "Friendship is the best thing to find.", "Whoever has a friend is never lost."],
    "sharing": ["What is shared tastes twice as good.", "There is more for everyone when all share.", "Sharing makes a little into enough."],
    "patience": ["Good things take their time.", "With patience, even the snail arrives.", "Whoever waits with patience sees the flower open."],
    "honesty": ["The truth is hard to say and easy to live with.", "Honesty is a light that needs no oil.", "It is better to tell the truth at once."],
    "curiosity": ["Whoever asks finds more than whoever knows.", "Curiosity opens doors that have no key.", "It is good to ask why."],
    "helping": ["Many hands make the work light.", "Whoever helps is helped.", "To help is to make two happy at once."],
    "courtesy": ["A polite word opens every door.", "Please and thank you weigh nothing and are worth a lot."],
    "home": ["It is good to go far, and better to come home.", "Home is where somebody waits for you."],
    "hope": ["After every night there is a morning.", "Hope is a small light, but it does not go out."],
    "trust": ["Trust grows slowly, like a tree, and stands as long.", "Whoever trusts has already made half a friend."],
    "gratitude": ["To say thank you is to give something back.", "Whoever is thankful has enough."],
    "perseverance": ["Whoever tries once more may find that it works.", "It is no shame to fall; one only has to get up again."],
    "forgiveness": ["To forgive is to put down a heavy bag.", "A quarrel that is forgiven makes friends closer."],
    "modesty": ["Nobody is so small that he cannot help, and nobody so big that he needs no help.", "It is wise not to laugh at the small."],
    "love": ["Love is what is left when all is given away.", "Whoever is loved is never quite alone."],
    "peace": ["A quarrel needs two, and so does peace.", "Peace begins with one open hand."],
    "dreams": ["A dream is a place to start walking.", "Whoever has a dream knows where to go."],
}

FEARS = ["the dark", "thunder", "deep water", "high places", "being alone", "loud noises", "strangers", "spiders", "the big dog", "the cellar",
         "heights", "storms", "ghosts", "flying", "swimming", "the forest", "speaking to others", "the night", "making mistakes", "falling"]

FOODS = ["bread", "soup", "cake", "apple pie", "honey", "pancakes", "porridge", "cheese", "cookies", "jam", "tea", "plums", "chocolate", "stew", "rolls"]

COUNTRIES = """France Spain Italy Germany Poland Norway Sweden Finland Greece Turkey Egypt Kenya Nigeria Ghana Brazil Peru Chile Mexico Canada Japan China India
Nepal Vietnam Thailand Australia Portugal Ireland Iceland Hungary Austria Switzerland Denmark Belgium Russia Ukraine Iran Iraq Morocco Cuba Bolivia""".split()

CITIES = """Paris London Berlin Rome Madrid Tokyo Delhi Cairo Lagos Lima Boston Chicago Toronto Sydney Vienna Prague Oslo Athens Dublin Moscow Seoul Bangkok
Hamburg Milan Seattle Denver Dallas Nairobi Warsaw Zurich Geneva Munich Naples Kyoto Shanghai Mumbai Istanbul""".split()

LANGUAGES = """French Spanish German Italian Latin Greek Chinese Japanese Russian Arabic Hindi Portuguese Dutch Swedish Polish Turkish Korean Finnish""".split()

PROGRAMMING = "Python|Java|JavaScript|C|C++|Rust|Go|SQL|HTML|Bash|Haskell|TypeScript|PHP|Ruby|Kotlin|CSS".split("|")

FAMOUS = """Napoleon|Shakespeare|Einstein|Newton|Mozart|Beethoven|Caesar|Cleopatra|Lincoln|Gandhi|Columbus|Galileo|Darwin|Picasso|Van Gogh|Edison|
Marie Curie|Marco Polo|Plato|Aristotle|Bach|Goethe|Dickens|Tolstoy|Churchill|Washington|Hitchcock|Chaplin|Elvis|the Beatles|Madonna|Messi|
Alexander the Great|Genghis Khan|Queen Victoria|Joan of Arc|Isaac Asimov|Agatha Christie|Walt Disney|Ada Lovelace|Alan Turing""".replace("\n", "").split("|")

SCIENCE = """gravity|photosynthesis|electricity|an atom|a black hole|DNA|evolution|the Big Bang|a volcano|an earthquake|a rainbow|magnetism|a virus|
a cell|an electron|entropy|relativity|quantum mechanics|inflation|democracy|capitalism|philosophy|algebra|a prime number|calculus|a triangle|
the speed of light|the water cycle|a vitamin|cholesterol|diabetes|blood pressure|a vaccine|the stock market|a mortgage|bitcoin|a blockchain|
the ozone layer|climate change|a comet|Saturn|Jupiter|Mars|the moon landing|the French Revolution|World War II|the Roman Empire|the Renaissance|
the Bible|the Koran|Buddhism|Islam|socialism|the United Nations|the European Union|NATO""".replace("\n", "").split("|")
