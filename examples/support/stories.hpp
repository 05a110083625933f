// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_SUPPORT_STORIES_HPP
#define DEEPSEEK_EXAMPLES_SUPPORT_STORIES_HPP

#include <deepseek/core/random.hpp>

#include "text_grammar.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Little stories for little models: some hundred words of simple English, one hero, one small trouble, a good end. The
// number of different stories is astronomical, the number of words about a thousand, so a model of a million parameters
// can learn to tell new ones within minutes.

namespace deepseek_examples {

namespace story {

using Words = std::span<std::string_view const>;

inline constexpr std::array<std::string_view, 24> kGirls = {
    "Lily", "Mia",  "Anna", "Sara",  "Ella", "Lucy", "Rose",  "Nina", "Emma", "Clara", "Zoe",   "Molly",
    "Ruby", "Jane", "Amy",  "Daisy", "Kate", "Nora", "Alice", "Lola", "Mary", "Eva",   "Hanna", "Sue"};
inline constexpr std::array<std::string_view, 24> kBoys = {
    "Tom", "Ben",  "Max",  "Tim",   "Sam",  "Jack", "Leo",  "Finn", "Bob",  "Joe", "Adam",  "Paul",
    "Dan", "Will", "Nick", "Peter", "Luke", "Mark", "Alex", "Noah", "Fred", "Rob", "Henry", "Oscar"};
inline constexpr std::array<std::string_view, 10> kSheAnimals = {
    "Poppy", "Honey", "Willow", "Luna", "Pearl", "Bella", "Dotty", "Misty", "Hazel", "Snowy"};
inline constexpr std::array<std::string_view, 10> kHeAnimals = {"Pip",  "Buddy", "Rusty", "Benny", "Teddy",
                                                                "Coco", "Spot",  "Bruno", "Max",   "Momo"};
inline constexpr std::array<std::string_view, 9> kHeroAnimals = {
    "rabbit", "fox", "bear", "mouse", "squirrel", "hedgehog", "cat", "dog", "mole"};
inline constexpr std::array<std::string_view, 14> kTraits = {
    "happy",  "kind",   "curious",  "shy",   "brave", "funny",  "quiet",
    "clever", "gentle", "cheerful", "smart", "sweet", "lively", "friendly"};
inline constexpr std::array<std::string_view, 6> kColors = {"red",    "blue",  "green",
                                                            "yellow", "white", "purple"};
inline constexpr std::array<std::string_view, 7> kSizes = {"little", "big", "shiny", "new",
                                                           "pretty", "old", "small"};
inline constexpr std::array<std::string_view, 18> kToys = {
    "ball", "kite",       "doll",  "toy car", "toy boat", "toy train", "drum",   "hat", "book",
    "bell", "teddy bear", "scarf", "truck",   "whistle",  "toy plane", "basket", "cup", "box"};
inline constexpr std::array<std::array<std::string_view, 2>, 10> kPlaces = {
    {{"in the park", "to the park"},
     {"in the garden", "to the garden"},
     {"by the river", "to the river"},
     {"in the forest", "to the forest"},
     {"on the hill", "to the hill"},
     {"near the lake", "to the lake"},
     {"in the meadow", "to the meadow"},
     {"on the beach", "to the beach"},
     {"in the field", "to the field"},
     {"near the old barn", "to the old barn"}}};
inline constexpr std::array<std::string_view, 12> kSpots = {
    "behind a tree",     "under a bush",  "in the tall grass",  "behind a big rock",
    "under some leaves", "near the path", "behind the fence",   "under a bench",
    "next to a log",     "in a hole",     "between two stones", "near the flowers"};
inline constexpr std::array<std::string_view, 12> kTreats = {"apple",  "cookie",  "sandwich", "pear",
                                                             "muffin", "pancake", "bun",      "banana",
                                                             "carrot", "orange",  "plum",     "cake"};
inline constexpr std::array<std::string_view, 6> kBaked = {"cake",  "pie",        "muffin",
                                                           "pizza", "big cookie", "bun"};
inline constexpr std::array<std::string_view, 6> kVases = {"cup", "plate", "lamp", "bowl", "pot", "clock"};
inline constexpr std::array<std::string_view, 8> kMeals = {
    "soup", "bread and honey", "pancakes", "pie", "noodles", "rice and beans", "cheese and bread", "berries"};
inline constexpr std::array<std::string_view, 12> kSmallAnimals = {"kitten",   "puppy",  "bird",  "duck",
                                                                   "frog",     "turtle", "owl",   "lamb",
                                                                   "hedgehog", "bunny",  "chick", "squirrel"};
inline constexpr std::array<std::string_view, 10> kSeeds = {"apple tree",  "sunflower", "rose",  "bean",
                                                            "pumpkin",     "carrot",    "tulip", "tomato",
                                                            "cherry tree", "berry bush"};
inline constexpr std::array<std::string_view, 8> kBuildings = {
    "tower", "tree house", "boat", "kite", "sand castle", "bridge", "nest box", "snowman"};

// Rules that every story may use.
inline constexpr std::array<std::array<std::string_view, 2>, 21> kRules = {{
    {"time",
     "[one day|one sunny day|one morning|one afternoon|one warm day|one windy day|one cold day|early one "
     "morning|one "
     "bright morning|on a quiet day|one day]"},
    {"who", "[{trait} {kind}|little {kind}|{trait} little {kind}|small {kind}]"},
    {"open",
     "[[once upon a time, there was|once upon a time, there was|there once was|once there was|long ago, "
     "there was] a {who} "
     "named {hero}.|there was a {who}. {His} name was {hero}.|{hero} was a {who}.|{hero} was a {who} who "
     "lived {home}.|{home}"
     ", there lived a {who} named {hero}.] [{he} {likes}.|{hero} {likes}.|{he} {likes} and {liked}.||]"},
    {"likes", "[loved|liked|really liked|always wanted] to {hobby}"},
    {"liked", "to {hobby2}"},
    {"glad", "[happy|very happy|so happy|glad|proud and happy|full of joy|happy again]"},
    {"smile",
     "[smiled|smiled a big smile|laughed|clapped {his} {hands}|jumped up and down|felt warm inside]"},
    {"sad",
     "[{hero} was [sad|very sad|so sad|upset].|{hero} began to cry.|{hero} felt [sad|very sad|like "
     "crying].|{hero} sat down "
     "and cried.|big tears ran down {hero}'s face.]"},
    {"why",
     "\"[What is wrong|Why are you sad|What happened|Why are you crying|Are you all right], {hero}?\" [{fhe} "
     "asked|asked "
     "{friend}]."},
    {"thanks",
     "\"[Thank you|Thank you so much|Thank you, thank you], {friend}!\" said {hero}. [\"[You are a good "
     "friend|You are so "
     "kind|You are the best friend in the world].\"|{He} gave {fhim} a big hug.|]"},
    {"welcome", "\"[You are welcome|That is what friends do|I am happy to help|Any time],\" said {friend}."},
    {"comes",
     "[{friend} came by|{his} friend {friend} came by|{his} friend {friend} saw {him}|just then, {friend} "
     "walked by|{friend} "
     "heard {him} and came over]."},
    {"evening",
     "[when the sun went down, they went home.|then it was time to go home.|they played until the stars came "
     "out.|in the "
     "evening, they ate {meal} together.|{hero} told {his} {adult} all about it at dinner.|that night, "
     "{hero} slept very "
     "well.|that night, {hero} fell asleep with a smile.|they laughed all the way home.]"},
    {"ever",
     "[from that day on, {hero} and {friend} were best friends.|from that day on, they played together every "
     "day.|{hero} "
     "and {friend} stayed good friends.|and they always helped each other.|they were the best of friends.]"},
    {"lesson",
     "[{hero} learned that {moral}.|now {hero} knew that {moral}.|{hero} never forgot that {moral}.]"},
    {"end",
     "[{hero} was {glad}. {evening}|{evening} {ever}|{ever}|{evening} {lesson}|{lesson}|{hero} was {glad}. "
     "{lesson}|{evening}|{hero} and {friend} were {glad}. {evening}]"},
    {"endalone",
     "[{hero} was {glad}.|that night, {hero} slept very well.|{hero} was {glad}. {lesson}|{lesson}|{hero} "
     "was {glad} and {smile}. {lesson}|that night, {hero} fell asleep with a smile. {lesson}]"},
    {"yes", "\"[Yes|Yes, please|Oh yes|Of course|Sure]!\" said"},
    {"walk", "[went|walked|ran|skipped|hurried]"},
    {"soon", "[soon|after a while|a little later|at last|after a long time]"},
    {"adultsays", "[said {his} {adult}|{his} {adult} said]"},
}};

struct Plot {
    bool for_animals;  // also fits a story about animals
    std::string_view text;
    std::string_view moral;
};

inline constexpr std::array<Plot, 20> kPlots = {{
    // Something is lost and found.
    {true,
     "{open} [{hero} had a {toy}. {he} [took it everywhere|played with it every day|loved it very "
     "much].|{his} favorite thing "
     "was a {toy}.|{his} {adult} had given {him} a {toy}.]\n{time}, {hero} [took the {toyn} {to}|was playing "
     "with the {toyn} "
     "{at}|ran {to} with the {toyn}]. [when it was time to go home|after a while|when {he} looked "
     "around|when the game was "
     "over], the {toyn} was gone! {sad}\n{comes} {why} \"[I lost my {toyn}|My {toyn} is gone|I cannot find "
     "my {toyn}],\" "
     "said {hero}. \"[Let us look for it together|Do not cry, we will find it|I will help you find it],\" "
     "said "
     "{friend}.\n[they looked|first they looked|{hero} and {friend} looked] {spot1}, but it was not there. "
     "[they looked "
     "{spot2} too.|then they looked {spot2}, but they found [only leaves|only a snail|nothing].|] {soon}, "
     "{friend} looked "
     "{spot3}. \"[Here it is|I found it|Look, here is your {toyn}]!\" {fhe} [called|shouted|said]. {thanks} "
     "{end}",
     "[two can find more than one|a good friend helps|it is good to ask for help|friends make hard things "
     "easy]"},
    // A small animal needs help.
    {true,
     "{open}\n{time}, {hero} {walk} {to}. [{he} heard a small sound.|there, {he} heard something "
     "cry.|suddenly, {he} heard a "
     "tiny voice.] [{he} looked {spot1} and saw|{spot1}, {he} found|{spot1} there was] a [tiny|little|baby] "
     "{animal}. [it was "
     "[cold|hungry|lost|afraid] and [alone|could not find its mother|very sad].|it had hurt its "
     "[leg|foot].|it was stuck and "
     "could not get out.]\n\"[Do not be afraid|Poor little {animal}|Oh no, little one],\" said {hero}. \"I "
     "will help you.\" "
     "[{he} gave the {animal} some [water|food|bread].|{he} held the {animal} in {his} {hands} and kept it "
     "warm.|{he} gently "
     "picked up the {animal}.|{he} put a soft leaf over the {animal}.] [{hero} called {his} {adult}, and "
     "together they took "
     "care of it.|then {he} carried it home to {his} {adult}.|{his} {adult} came and helped too.]\n{soon}, "
     "the {animal} [felt "
     "better|was not afraid any more|was strong again|could [walk|run|play] again]. [its mother came and was "
     "very happy.|it "
     "made a happy sound.|it looked at {hero} and seemed to smile.] {hero} {smile}. [after that, the "
     "{animal} came to see "
     "{hero} every day.|{hero} and the {animal} became friends.|the {animal} stayed with {hero} for a long "
     "time.] {endalone}",
     "[even small ones need help|it feels good to be kind|a little help can mean a lot|kind hearts make new "
     "friends]"},
    // Sharing food.
    {true,
     "{open}\n{time}, {hero} had a [big|sweet|fresh|warm] {treat}. {he} [sat down {at} to eat it|took it "
     "{to}|wanted to eat "
     "it all alone]. [just then, {friend} came along.|then {he} saw {friend}.|{friend} was there too.] "
     "{friend} looked at the "
     "{treat}. [{fhe} had nothing to eat.|{fhe} was very hungry.|{fhe} had dropped {fhis} own food in the "
     "mud.]\n\"[That looks "
     "good|I am so hungry|I wish I had one too],\" said {friend}. {hero} [thought for a moment|looked at the "
     "{treat} and "
     "then at {friend}|did not want to share at first]. [but {he} knew that {friend} was hungry.|then {he} "
     "had an idea.|then "
     "{he} smiled.] \"[Let us share|You can have half|Here, take some],\" {he} said. {hero} [broke|cut] the "
     "{treat} into two "
     "parts and gave one to {friend}.\n[they sat together and ate.|they ate it side by side.] \"[This is so "
     "good|It tastes "
     "better with a friend|Yum],\" said {friend}. {thanks} [the next day, {friend} brought a {treat2} and "
     "shared it with "
     "{hero}.|then {friend} showed {hero} {fhis} {toy}, and they played with it.|] {end}",
     "[sharing is fun|it is good to share|food tastes better with a friend|sharing makes two people happy]"},
    // Afraid of something.
    {true,
     "{open} But {hero} was afraid of [the dark|loud sounds|thunder|deep water|high places].\n[one night, "
     "there was a big "
     "storm. {hero} hid under the blanket.|one night, {hero} could not sleep. {he} saw a strange shadow on "
     "the wall.|one night, "
     "{hero} heard a loud sound. {he} was so scared.] \"[Help|I am scared|Please come]!\" {he} called. {his} "
     "{adult} came "
     "[quickly|right away|into the room]. \"[I am here|Do not be afraid|You are safe],\" {adultsays}. \"[Let "
     "us sing a song "
     "together|Let us count to ten|Take my hand, and we will look together|Close your eyes and think of "
     "something nice].\"\n"
     "{hero} [took a deep breath|held on tight|tried it]. [{soon}, {he} was not so scared any more.|{he} "
     "felt a little "
     "better.|it was not so bad after all.] [they looked and saw that it was only [the wind|a tree|the "
     "cat|the rain].|{ahe} "
     "stayed until {hero} was calm.|{ahe} told {him} a funny story, and {hero} laughed.] \"[I was brave|I "
     "did it|I am not "
     "scared now],\" said {hero}. \"[Yes, you were very brave|I am proud of you],\" {adultsays}. {endalone}",
     "[everyone is scared sometimes|being brave means to try|things are not so scary with someone you love]"},
    // A rule is broken.
    {true,
     "{open} [{his} {adult} always said, \"Do not go {to} [alone|without me].\"|\"Please stay close to the "
     "house,\" said {his} {adult}.|\"Never go too far away,\" said "
     "{his} {adult}.]\n"
     "{time}, {hero} [did not listen|forgot what {his} {adult} had said|wanted to do it anyway]. {he} {walk} "
     "{to} all alone. "
     "[at first, it was fun.|{he} felt very big.|{he} [saw|followed] a pretty butterfly.] But then [{he} "
     "fell and hurt {his} "
     "knee|{he} did not know the way home|{he} slipped and fell into the mud|it began to rain very hard]. "
     "{sad} \"[I want to go home!|Help!|Where are you?]\" {he} called.\n[{his} {adult} had been looking for "
     "{him}.|{his} {adult} "
     "heard {him} and came "
     "running.] {ahe} [held {hero} tight|gave {him} a hug|took {him} home]. \"[I am sorry|I should have "
     "listened|I will not do "
     "it again],\" said {hero}. \"[I am glad you are safe|Thank you for saying sorry|I was worried about "
     "you],\" {adultsays}. "
     "{endalone}",
     "[it is important to listen|rules keep us safe|it is good to say sorry]"},
    // Building something; the first try fails.
    {true,
     "{open}\n{time}, {hero} wanted to [make|build] a {building}. {he} [looked for all the things {he} "
     "needed|worked all morning|took "
     "everything {he} needed {to}]. [but the {building} broke.|but then it fell down.|but it did not work.] "
     "[{hero} tried "
     "again, but it broke again.|{he} tried once more, but it was no good.|] {sad} \"[I cannot do it|It is "
     "too hard|It will "
     "never work],\" {he} said.\n{comes} \"[Do not give up|Let us try together|I have an idea],\" said "
     "{friend}. \"[We can make "
     "it stronger|We need a better plan|You hold it, and I will put it together].\" So they worked "
     "[side by "
     "side|together|slowly and carefully]. [{hero} held the parts, and {friend} put them together.|{friend} "
     "knew how to make it strong.|they laughed and sang while they worked.]\n{soon}, the {building} was "
     "done. [it was "
     "[big|strong|beautiful|great].|everyone came to look at it.|\"It is perfect,\" said {hero}.] {hero} "
     "{smile}. {thanks} "
     "{end}",
     "[you should not give up|two friends can do great things|trying again is the way to learn|working "
     "together is best]"},
    // A present.
    {true,
     "{open}\n[it was {friend}'s birthday.|{his} friend {friend} had a birthday.|the next day was {friend}'s "
     "birthday.] {hero} "
     "wanted to give {fhim} something [nice|special|pretty]. But {he} [had no money|did not know what to "
     "give|had nothing]. "
     "{he} asked {his} {adult}. \"[You can make something|The best gift is one you make|Think of what "
     "{friend} likes],\" "
     "{adultsays}.\n{hero} thought and thought. Then {he} had an idea. {he} [painted a [big|pretty] picture "
     "of the two "
     "friends|picked flowers {at} and put them in a {color} cup|made a {color} crown of flowers|baked a "
     "{baked} all by "
     "{himself}]. [it took all day.|{he} worked very hard.|{he} put a {color} ribbon on it.]\n[at the "
     "party|in the "
     "afternoon|when the day came], {hero} gave it to {friend}. {friend} opened {fhis} eyes wide. \"[This is "
     "the best gift|I "
     "love it|It is so beautiful]!\" {fhe} said. [\"You made it for me!\"|{Fhe} gave {hero} a big hug.|] "
     "{hero} {smile}. "
     "{end}",
     "[the best gifts come from the heart|a gift does not need money|it is fun to make others happy]"},
    // A race.
    {true,
     "{open} {he} was very fast.\n{time}, {hero} and {friend} had a race {at}. \"[One, two, three, go|Ready, "
     "go]!\" they "
     "shouted. {hero} [ran as fast as the wind|was in front|ran and ran]. [{he} was sure that {he} would "
     "win.|{he} wanted to win "
     "so much.] Then {he} heard a cry. {friend} had fallen [{spot1}|over a stone|in the mud].\n{hero} "
     "[stopped|looked back]. "
     "[{he} could win now.|the end of the race was very close.|{he} did not know what to do.] But {he} "
     "[turned around|ran "
     "back to {friend}|did not go on]. \"[Are you hurt|Are you all right]?\" {he} asked. \"[My leg hurts|I "
     "hurt my knee|Only a "
     "little],\" said {friend}. {hero} [helped {fhim} up|gave {fhim} a hand|held {fhis} arm]. [slowly, they "
     "walked to the end "
     "together.|they went on side by side.] \"[We both won|You are the real winner|You stopped to help "
     "me],\" said {friend}. "
     "{end}",
     "[a friend is more important than a race|helping is better than winning|winning is not everything]"},
    // A rainy day.
    {true,
     "{open}\n[one day, it rained and rained.|it was a rainy day.|dark clouds came, and it began to rain.] "
     "{hero} could not "
     "play {at}. [{he} looked out of the window and was sad.|\"This is so boring,\" {he} said.|{he} did not "
     "know what to do.] "
     "\"[We can play inside|Let us do something fun|I have an idea],\" {adultsays}. [{ahe} took some "
     "blankets, and they made a "
     "little tent.|they took paper and made small boats.|they cooked {meal} together.|{ahe} read a story "
     "about a {animal}.]\n"
     "{hero} [had so much fun|laughed and laughed|forgot the rain]. {soon}, the rain stopped. [the sun came "
     "out.|there was a big "
     "rainbow in the sky.] \"[Look, a rainbow|The sun is back|Now I can go out]!\" said {hero}. {he} {walk} "
     "outside and jumped "
     "into a [big|deep] puddle. [{friend} came too, and they jumped together.|water went everywhere.|{his} "
     "{adult} laughed and "
     "jumped too.] {endalone}",
     "[a rainy day can be fun too|you can have fun everywhere|after the rain comes the sun]"},
    // A seed.
    {true,
     "{open}\n{time}, {his} {adult} gave {him} a [small|tiny|brown] seed. \"[Put it in the ground|Plant it "
     "and give it "
     "water],\" {adultsays}. \"It will be a {plant} one day.\" {hero} [made a hole in the ground|found a "
     "nice place in the "
     "garden|took a pot with earth] and put the seed in it. {he} gave it water every [day|morning].\n[the "
     "first day, nothing "
     "happened.|{hero} looked every day, but there was nothing.|day after day, {he} waited.] \"[Why does it "
     "not grow|When will "
     "it grow]?\" {he} asked. \"[You must wait|Good things take time|Be patient],\" {adultsays}. [so {hero} "
     "waited.|{hero} did "
     "not give up.|{he} sang to the seed every night.]\n[one morning|then one day|after many days], {hero} "
     "saw [a tiny green "
     "leaf|something green]! {he} {smile}. The plant grew [bigger and bigger|taller every day]. {soon}, it "
     "was a [big|beautiful] "
     "{plant}. [{hero} showed it to {friend}.|everyone came to see it.|{hero} was very proud.] {endalone}",
     "[good things take time|it is good to be patient|small things can become big]"},
    // A quarrel.
    {true,
     "{open}\n{time}, {hero} and {friend} were playing {at}. [they found|there was|they saw] a {toy}. \"[It "
     "is mine|I saw it "
     "first|I want it]!\" said {hero}. \"[No, it is mine|No, I want it|Give it to me]!\" said {friend}. They "
     "[pulled and "
     "pulled|both pulled hard|shouted at each other]. [the {toyn} fell on the ground.|then the {toyn} almost "
     "broke.|{friend} "
     "began to cry.]\n[{hero}'s {adult}|{his} {adult}] heard them and came. \"[What is going on here|Why do "
     "you fight]?\" {ahe} "
     "asked. [{hero} looked down.|both were quiet.|they told {ahim} about it.] \"[You can take turns|You can "
     "play with it "
     "together|First one of you, then the other],\" {adultsays}. \"[I am sorry|I am sorry I shouted], "
     "{friend},\" said {hero}. "
     "\"I am sorry too,\" said {friend}.\n[{friend} played with the {toyn} first, and then {hero} had "
     "it.|they took turns, and "
     "nobody was angry any more.|they made a new game with the {toyn}.] It was [much more|a lot of] fun. "
     "{end}",
     "[taking turns is better than fighting|saying sorry helps|it is more fun to play together]"},
    // Somebody new.
    {true,
     "{open}\n{time}, {hero} {walk} {to}. There {he} saw someone new. It was a {fkind}. {fhe} sat [all "
     "alone|under a "
     "tree|{spot1}] and looked [sad|shy|lonely]. [{hero} was shy too.|{hero} wanted to say hello.|{hero} "
     "thought for a "
     "moment.] Then {he} walked over.\n\"[Hello|Hi], I am {hero},\" {he} said. \"[What is your name|Who are "
     "you]?\" \"[I am|My "
     "name is] {friend},\" said the {fkind} [in a quiet voice|softly]. \"[I am new here|I do not know anyone "
     "here|We just moved "
     "here].\" \"[Do you want to play|Would you like to play with me|Shall we play]?\" asked {hero}. {yes} "
     "{friend}. [{fhe} began "
     "to smile.|{fhis} eyes were bright.]\nThey [played with {hero}'s {toyn}|ran and jumped|played hide and "
     "seek|built a big "
     "house of leaves] [all day|until dinner|{at}]. [{friend} was not sad any more.|{friend} laughed a lot.] "
     "{end}",
     "[it is easy to make a friend|a kind word can change a day|you only have to say hello]"},
    // A strange sound.
    {true,
     "{open}\n[one night|late one evening|one quiet night], {hero} heard a [strange|funny|soft] sound. [tap, "
     "tap, tap.|bump, "
     "bump.|crash!|scratch, scratch.] \"[What is that|Who is there]?\" {he} whispered. {he} [was a little "
     "scared|wanted to "
     "know what it was|sat up in bed]. [{he} took a light and went to look.|on quiet feet, {he} went to the "
     "door.|slowly, {he} "
     "opened the door.]\n{he} looked [in the kitchen|behind the door|under the table|in the box]. [nothing "
     "was there.|it was "
     "dark.] Then {he} heard it again. [the sound came from [outside|the window|the old box].] {hero} "
     "[looked closely|took a "
     "step closer]. It was [only|just] a {color2} {animal}! [it wanted to come in because it was cold.|it "
     "was looking for "
     "food.|it was playing with a {toyn}.] {hero} laughed. \"[Hello, little {animal}|You scared me, "
     "{animal}|So it was you],\" "
     "{he} said.\n[{he} gave it some milk.|{he} gave it a piece of bread.|{he} made a warm bed for it.] "
     "{soon}, the {animal} "
     "[fell asleep|was happy|ran back into the night]. {endalone}",
     "[strange sounds are not always bad|it is good to look before you are afraid|new friends can come at "
     "night]"},
    // A trip.
    {false,
     "{open}\n{time}, {hero} went to [the farm|the zoo|a big farm|the market] with {his} {adult}. [they went "
     "by [bus|train|car].|"
     "it was a long way.|{hero} was very excited.] There they saw [many animals|so many things]. [first, "
     "they saw a {animal} "
     "and a {animal2}.|the first thing was a [big|funny] cow.|{hero} saw a horse and wanted to ride it.] "
     "\"[Look at "
     "that|Look, look|How big it is]!\" said {hero}. [{hero} fed a {animal}.|the {animal} came and licked "
     "{his} hand.|a {animal} "
     "wanted to eat {his} hat, and everybody laughed.]\nAt noon, they sat down and ate {meal}. [then {hero} "
     "could not see {his} "
     "{adult} any more. {he} was scared. But {his} {adult} was just behind {him}.|then a bird took {his} "
     "{treat} and flew away! "
     "{hero} was surprised, but then {he} laughed.|{hero} shared {his} {treat} with {his} {adult}.] [in the "
     "evening|when the sun "
     "went down|at the end of the day], they went home. \"[That was the best day|Can we come back soon|I "
     "want to live on a "
     "farm],\" said {hero}. {his} {adult} [smiled|laughed]. {endalone}",
     "[the world is full of wonders|a day together is the best gift|there is always something new to see]"},
    // Baking.
    {false,
     "{open}\n{time}, {hero} and {his} {adult} wanted to bake a {baked}. [they took a big bowl.|they put on "
     "white hats.|they "
     "washed their hands.] But there was no [sugar|flour|milk|butter]! \"[What can we do?|Oh no!|Now we "
     "cannot bake!]\" said "
     "{hero}. \"[Go and ask {friend}|Maybe {friend} has some|Let us ask our friend {friend}],\" {adultsays}. "
     "{hero} {walk} to "
     "{friend}'s house and knocked on the door.\n\"[Can you help us|Do you have some for us]?\" asked "
     "{hero}. \"[Of course|Yes, "
     "here you are|Take as much as you need],\" said {friend}. \"[Can I help too|May I come with you]?\" "
     "{yes} {hero}. They "
     "[ran back|went back together]. [all three mixed and mixed.|{friend} made the dough, and {hero} put it "
     "into the oven.|there "
     "was flour on {hero}'s nose, and everyone laughed.]\n{soon}, the house smelled [good|sweet|wonderful]. "
     "[they took it out of "
     "the oven.|the {baked} was done.] [it was [golden|warm|soft] and [sweet|very good].|they ate it while "
     "it was still "
     "warm.] {thanks} {end}",
     "[friends like to help|baking is more fun with friends|it is all right to ask for help]"},
    // The animal that could not do a thing.
    {true,
     "{open} [all {his} friends could [swim|jump high|climb|whistle|dance], but {hero} could not.|{hero} "
     "could not [swim|jump "
     "high|climb|whistle|dance], and {he} was sad about it.]\n\"[I want to learn it|Can you show me "
     "how|Please teach me],\" "
     "{he} said to {friend}. \"[Of course|It is easy|I will show you],\" said {friend}. \"[Look at me|Do it "
     "like this|Do it slowly "
     "first].\" {hero} tried. [{he} fell down.|it did not work.|{he} did it wrong.] [everybody laughed.|{he} "
     "tried again and "
     "again.|{he} wanted to stop.] \"[Try once more|Do not stop now|You are almost there],\" said "
     "{friend}.\n[every day, they "
     "went {to} and tried.|for many days, {hero} worked hard.|{hero} did not give up.] {soon}, {he} could do "
     "it! \"[Look at "
     "me|I did it|I can do it]!\" {he} shouted. {friend} [was proud of {him}|clapped|cheered]. {thanks} "
     "{end}",
     "[you can learn everything if you try|nobody can do everything at once|a good friend is a good "
     "teacher]"},
    // The moon.
    {true,
     "{open} Every night, {he} looked at the [moon|stars].\n{time}, {he} said, \"I want to "
     "[touch|have|visit] the [moon|stars]!\" "
     "{he} climbed on a [chair|tree|hill], but it was too [far|high]. {he} jumped as high as {he} could, but "
     "it was no good. "
     "{sad}\n{comes} {why} \"[It is too far away|I cannot reach it],\" said {hero}. {friend} thought for a "
     "moment. \"[Come with "
     "me|I know something|I want to show you something],\" {fhe} said. They {walk2} {to2} lake. The water "
     "was [still|quiet|like "
     "a mirror], and there was the light of the night [in it|on it]. [{hero} put {his} {hands} into the "
     "water.|{hero} could "
     "almost touch it.] \"[Now it is close to us|It came down to see us|How beautiful]!\" said {hero}. "
     "{thanks} {end}",
     "[there is more than one way|a friend can bring you the moon|beautiful things can be close]"},
    // Telling the truth.
    {true,
     "{open}\n{time}, {hero} was playing in the house. {he} [ran too fast|threw a ball|jumped on the bed]. "
     "Crash! {his} {adult}'s {vase} fell [down|on the floor] and broke. {hero} was [scared|afraid|very "
     "sorry]. {he} hid "
     "it [under the "
     "bed|behind the door|in a box].\n[in the evening|later|at dinner], {his} {adult} asked, \"Where is my "
     "{vase}?\" {hero} [looked "
     "at the floor|did not say anything|had a bad feeling]. [{he} could say that {friend} did it.|{he} did "
     "not want to tell a "
     "lie.|{his} heart beat fast.] Then {he} said, \"[I broke it|It was me. I broke it]. I am "
     "sorry.\"\n{his} {adult} [was quiet "
     "for a moment|looked at {him}]. \"[Thank you for telling me the truth|I am glad that you told me],\" "
     "{ahe} said. \"[We can "
     "fix it together|It was only a thing|Next time, be more careful].\" [they took some glue and fixed "
     "it.|{ahe} gave {hero} a "
     "hug.|they fixed it, and it was almost like new.] {endalone}",
     "[it is good to tell the truth|the truth makes the heart light|you can say when you did something "
     "wrong]"},
    // Everyone is busy.
    {true,
     "{open}\n{time}, {hero} wanted to play, but everyone was busy. {his} {adult} was "
     "[cooking|working|cleaning the "
     "house]. {friend} was [sleeping|reading a book|helping at home]. \"[Nobody has time for me|What can I "
     "do|I am all "
     "alone],\" said {hero}. {sad}\nThen {hero} had an idea. \"[If I help, they will have time|I can "
     "help],\" {he} said. [so {he} "
     "helped {his} {adult} and [washed the cups|carried the water|put the things away].|{he} took a broom "
     "and cleaned the "
     "floor.] Then {he} went to {friend} and helped {fhim} too. [the work was done very fast.|it was not "
     "boring at all.|{he} "
     "sang a song all the time.]\n\"[Thank you|You are a great help|How nice of you], {hero}!\" {adultsays}. "
     "\"Now we have time "
     "to play.\" They all {walk2} {to} and [played a game|flew a kite|played with the {toyn}]. {end}",
     "[helping makes time for play|work is easy when we do it together|it is good to help at home]"},
    // A lost friend.
    {true,
     "{open}\n{time}, {hero} and {friend} played hide and seek {at}. {friend} hid, and {hero} counted to "
     "[ten|twenty]. {hero} "
     "looked {spot1}. {he} looked {spot2}. But {friend} was not there. \"[Where are you, {friend}?|Come out, "
     "{friend}!]\" {he} called. "
     "[nobody answered.|it was very quiet.] {hero} was worried.\n{he} [asked a {animal}|called {his} "
     "{adult}|looked "
     "everywhere]. [then {he} saw a small trail in the grass.|then {he} heard a soft sound.] {he} followed "
     "it and looked {spot3}. "
     "There was {friend}! {fhe} [had fallen asleep|was fast asleep|was stuck and could not get out]. {hero} "
     "[laughed|was so "
     "glad]. \"[I found you|There you are]!\" {he} said. \"[You won the game|That was a very good place|I "
     "was so worried].\" "
     "{friend} [laughed too|smiled|opened {fhis} eyes]. {end}",
     "[a friend is worth looking for|you should always look once more|it is good to stay together]"},
}};

inline constexpr std::array<std::string_view, 15> kHobbies = {
    "sing songs",        "dance",           "draw pictures",   "look at the stars",  "climb trees",
    "run in the grass",  "pick flowers",    "jump in puddles", "play in the sun",    "swim in the lake",
    "listen to stories", "watch the birds", "collect stones",  "play hide and seek", "help others"};
inline constexpr std::array<std::string_view, 5> kHomes = {"in a small house", "near the forest",
                                                           "in a small village", "by the sea", "on a farm"};
inline constexpr std::array<std::string_view, 5> kAnimalHomes = {
    "in the forest", "under a big tree", "near the river", "in a small hole", "on a green hill"};
inline constexpr std::array<std::string_view, 3> kMothers = {"mom", "grandma", "aunt"};
inline constexpr std::array<std::string_view, 3> kFathers = {"dad", "grandpa", "uncle"};

// Lines of rhymes.
inline constexpr std::array<std::string_view, 9> kRhymeLines = {
    "{hero}, {hero}, where is {hero}? Here is {hero}! {hero} is here.",
    "{friend} likes {hero}, and {hero} likes {friend}.",
    "\"Hello, {hero}!\" said {friend}. \"Hello, {friend}!\" said {hero}.",
    "{hero} has a {toy}. Who has a {toy}? {hero} has a {toy}.",
    "{hero} and {friend}, {friend} and {hero}, all day long.",
    "Sing for {hero}, sing for {friend}, sing for {hero} and {friend}.",
    "\"Where is my {toy}, {friend}?\" said {hero}. \"Here is your {toy}, {hero}!\" said {friend}.",
    "{friend} gave {hero} a {treat}. {hero} ate the {treat}.",
    "One {toy} for {hero}, one {toy} for {friend}."};

// An item that was not chosen before.
inline std::string_view pick_other(Words words, std::initializer_list<std::string_view> taken, Dice& dice) {
    for (;;) {
        auto const word = dice.pick(words);
        bool is_new = true;
        for (auto const other : taken) {
            is_new = is_new && word != other;
        }
        if (is_new) {
            return word;
        }
    }
}

// Gives a person or animal its pronouns: "he", "him", … under a prefix ("", "f", "a").
inline void set_pronouns(TextGrammar& grammar, std::string const& prefix, bool is_she) {
    auto const set = [&](std::string name, std::string_view she, std::string_view he) {
        grammar.set(name, is_she ? she : he);
        auto const first = static_cast<char>(name.front() - 'a' + 'A');
        auto const capital = [&](std::string_view word) {
            return std::string(1, static_cast<char>(word.front() - 'a' + 'A')) + std::string(word.substr(1));
        };
        name.front() = first;
        grammar.set(name, capital(is_she ? she : he));
    };
    set(prefix + "he", "she", "he");
    set(prefix + "him", "her", "him");
    set(prefix + "his", "her", "his");
    set(prefix + "himself", "herself", "himself");
}

}  // namespace story

/// The story of that number: a function of the seed and the number, so stories can be made in any order.
inline std::string tell_story(deepseek::Seed seed, std::uint64_t number) {
    using namespace story;
    Dice dice(deepseek::RandomKey(seed).fork(number));
    auto const& plot = kPlots[dice.below(kPlots.size())];
    bool const animals = plot.for_animals && dice.below(3) == 0;
    bool const she = dice.below(2) == 0;
    // Where both are "she", "she asked" could be either: mostly the friend is the other.
    bool const friend_she = dice.below(5) == 0 ? she : !she;
    bool const adult_she = dice.below(2) == 0;
    auto const names = [&](bool is_she) {
        return animals  ? is_she ? Words(kSheAnimals) : Words(kHeAnimals)
                : is_she ? Words(kGirls)
                        : Words(kBoys);
    };

    TextGrammar grammar;
    for (auto const& [name, text] : kRules) {
        grammar.set(name, text);
    }
    set_pronouns(grammar, "", she);
    set_pronouns(grammar, "f", friend_she);
    set_pronouns(grammar, "a", adult_she);
    auto const hero = dice.pick(names(she));
    grammar.set("hero", hero);
    grammar.set("friend", pick_other(names(friend_she), {hero}, dice));
    auto const kind = animals ? dice.pick(Words(kHeroAnimals)) : she ? "girl" : "boy";
    grammar.set("kind", kind);
    grammar.set("fkind", animals      ? "little " + std::string(dice.pick(Words(kHeroAnimals)))
                         : friend_she ? "little girl"
                                      : "little boy");
    grammar.set("home", dice.pick(animals ? Words(kAnimalHomes) : Words(kHomes)));
    grammar.set("hands", animals ? "paws" : "hands");
    grammar.set("adult", dice.pick(adult_she ? Words(kMothers) : Words(kFathers)));
    grammar.set("trait", dice.pick(Words(kTraits)));
    auto const hobby = dice.pick(Words(kHobbies));
    grammar.set("hobby", hobby);
    grammar.set("hobby2", pick_other(kHobbies, {hobby}, dice));
    auto const toy = dice.pick(Words(kToys));
    auto const color = dice.pick(Words(kColors));
    grammar.set("toyn", toy);
    auto const size = dice.pick(Words(kSizes));
    auto const form = dice.below(3);
    grammar.set("toy", (form == 1 ? "" : std::string(size) + " ") +
                           (form == 0 ? "" : std::string(color) + " ") + std::string(toy));
    grammar.set("color", color);
    grammar.set("color2",
                dice.pick(Words(std::array<std::string_view, 4>{"little", "small", "white", "brown"})));
    auto const& place = kPlaces[dice.below(kPlaces.size())];
    grammar.set("at", place[0]);
    grammar.set("to", place[1]);
    grammar.set("to2", "[to the|to a small|to the big]");
    grammar.set("walk2", "[went|walked|ran]");
    auto const spot1 = dice.pick(Words(kSpots));
    auto const spot2 = pick_other(kSpots, {spot1}, dice);
    grammar.set("spot1", spot1);
    grammar.set("spot2", spot2);
    grammar.set("spot3", pick_other(kSpots, {spot1, spot2}, dice));
    auto const treat = dice.pick(Words(kTreats));
    grammar.set("treat", treat);
    grammar.set("treat2", pick_other(kTreats, {treat}, dice));
    grammar.set("baked", dice.pick(Words(kBaked)));
    grammar.set("vase", dice.pick(Words(kVases)));
    grammar.set("meal", dice.pick(Words(kMeals)));
    auto const animal = pick_other(kSmallAnimals, {kind}, dice);
    grammar.set("animal", animal);
    grammar.set("animal2", pick_other(kSmallAnimals, {kind, animal}, dice));
    grammar.set("plant", dice.pick(Words(kSeeds)));
    grammar.set("building", dice.pick(Words(kBuildings)));
    grammar.set("moral", plot.moral);
    return polish_english(grammar.expand(plot.text, dice));
}

/// The rhyme of that number: a few lines about two names and two things, again and again. Whoever reads them learns that
/// what was named before is named again, which in stories is a few words among many: without rhymes a small model takes
/// much longer to keep to the people of its story.
inline std::string tell_rhyme(deepseek::Seed seed, std::uint64_t number) {
    using namespace story;
    Dice dice(deepseek::RandomKey(seed).fork(number).fork(1));
    std::vector<std::string_view> names;
    for (auto const& some : {Words(kGirls), Words(kBoys), Words(kSheAnimals), Words(kHeAnimals)}) {
        names.insert(names.end(), some.begin(), some.end());
    }
    TextGrammar grammar;
    auto const hero = dice.pick(Words(names));
    grammar.set("hero", hero);
    grammar.set("friend", pick_other(names, {hero}, dice));
    grammar.set("toy", std::string(dice.pick(Words(kColors))) + " " + std::string(dice.pick(Words(kToys))));
    grammar.set("treat", dice.pick(Words(kTreats)));
    std::string rhyme;
    for (auto lines = 4 + dice.below(4); lines > 0; --lines) {
        rhyme += rhyme.empty() ? "" : " ";
        rhyme += grammar.expand(kRhymeLines[dice.below(kRhymeLines.size())], dice);
    }
    return polish_english(rhyme);
}

/// How many different names of its people and animals a story has. Stories of tell_story() have one or two; a model that
/// forgets who it tells of has more.
inline std::size_t count_names(std::string_view text) {
    std::set<std::string_view> names;
    constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (auto begin = text.find_first_of(kLetters); begin != text.npos;) {
        auto const end = std::min(text.find_first_not_of(kLetters, begin), text.size());
        auto const word = text.substr(begin, end - begin);
        for (auto const& known : {story::Words(story::kGirls), story::Words(story::kBoys),
                                  story::Words(story::kSheAnimals), story::Words(story::kHeAnimals)}) {
            if (std::find(known.begin(), known.end(), word) != known.end()) {
                names.insert(word);
            }
        }
        begin = text.find_first_of(kLetters, end);
    }
    return names.size();
}

}  // namespace deepseek_examples

#endif
