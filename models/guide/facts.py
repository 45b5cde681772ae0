"""What the guide knows of Inglenook: of each fact, many ways to ask and a few ways to answer.

Patterns are those of phrases.py. Whatever is said here must be true of the program: whoever changes the program
changes this file, and trains anew.
"""

FACTS = {}


def fact(name, questions, answers):
    split = lambda text: [line.strip() for line in text.strip().splitlines() if line.strip()]
    FACTS[name] = (split(questions), split(answers))


fact("what_is", """
(what is|what's|whats) (Inglenook|this program|this app|this|this thing|ingle|this software)?
(tell me about|explain|describe) (Inglenook|this program|this app)
(what does|what can) (Inglenook|this program|the app|this app|ingle) do?
(what am I|what are we) (using|running) here?
what is (Inglenook|this app|this program) (for|good for|about|used for)?
(what kind|what sort) of (program|app|software|thing) is (this|it|Inglenook)?
(never heard of|I do not know) Inglenook, (what is it|explain it to me|what does it do)?
why (would I use|should I use|do I need) (Inglenook|this|this program)?
(give me|can you give me) (an overview|an introduction|a summary) of (Inglenook|this program|this app)
(Inglenook|this program|this app)?
what makes (Inglenook|this program|it) (special|different|useful|different from others)?
what is the (point|purpose|idea) of (this program|Inglenook|this)?
(introduce|show) (Inglenook|the program|this app) to me
I am new here, what (is this|is this all about|does this program do)?
(can you explain|could you tell me) what (Inglenook is|this program is|this app does)?
I just (installed|opened|downloaded|started) (this|it|Inglenook), what (is it|does it do|have I got)?
""", """
Inglenook is a (desktop chat program|program for chatting) with language models that run on your own machine. It has its own engine, works on any vendor's GPU through wgpu, on NVIDIA through CUDA and on the CPU, and lets you compare these backends side by side on the same model.
Inglenook is a program for talking with language models on your own machine. (What is special about it|Its special side): it can put several backends side by side on one model and show which is faster, why, and whether they say the same.
This is Inglenook: a desktop chat program with an inference engine of its own. Models run here on your machine, on the GPU or the CPU, and you can compare the backends with each other.
""")

fact("name", """
(what does|why) (the name|the word) (Inglenook|inglenook) (mean|come from)?
why is it (called|named) (Inglenook|that|so|ingle)?
(what is|what's) an inglenook?
where does the name (come from|Inglenook come from)?
what is (the meaning|the origin) of (the name|Inglenook|the word inglenook)?
(funny|strange|odd|nice) name, (what does it mean|why Inglenook|where is it from)?
(why|how come) (the name|that name|such a name)?
(is|does) (Inglenook|the name) (a real word|mean something|mean anything)?
""", """
An inglenook is the corner beside the fire where people sit and talk. This one is warmed by your own (machine|GPU).
The name means the corner beside a fireplace, where people sit and talk. Here your own machine keeps it warm.
""")

fact("who_are_you", """
who are you?
what are you?
(who|what) am I (talking to|talking with|speaking with|chatting with)?
(introduce yourself|tell me about yourself|describe yourself|say something about yourself)
(what is|what's) your name?
(do you have|have you got) a name?
what (should|can|may) I call you?
(are you|is this) (a robot|a bot|a human|a person|a computer|an AI|real|alive|a machine|a real person)?
(what|which) (model|language model|AI|bot) (are you|is this|is answering|am I using)?
who is (this|there|answering|writing this)?
(your name|name)?
are you (Inglenook|the guide|the built-in model|the model)?
what kind of (model|AI|thing|assistant) are you?
(tell me|say) who you are
""", """
I am the guide of Inglenook, a small language model that comes with the program. I tell short stories and answer questions about Inglenook.
I am Inglenook's built-in model, a small one. I can tell you a story or explain the program.
I am the guide, a small language model inside Inglenook. I know this program and many little stories, and not much else.
""")

fact("can_do", """
what can you do (for me|)?
(how|what) can you help (me|me with|with)?
what do you know?
(what are you|what are you) (good at|able to do|useful for|for)?
(what can I|what may I|what should I) (ask|ask you|say to you|do with you|talk about)?
(give me|show me) (some ideas|examples|an example) of what (I can ask|to ask|you can do)
(what are|name) your (abilities|skills|talents|limits|strengths)
help
help me
(can you|could you) help me?
I need help
I (do not know|don't know) what to (ask|say|type)
are you (useful|smart|clever|any good|intelligent)?
what now?
(how do|how does) (this|you) work for me?
(how|where) do I (start|begin)?
""", """
I can tell you a short story about whatever you name, chat a little, and answer questions about Inglenook: backends, formats, speed, models. (For more than that, load a larger model.|For anything else, a larger model is better.)
Two things: I tell short stories, with the names and things that you give me, and I explain Inglenook. Try: tell me a story about a fox and a lantern. Or: what does NF4 do?
I am small, so not much: short stories, small talk, and questions about Inglenook, such as backends, formats, speed and how to add a model.
""")

fact("how_large", """
how (large|big|small|heavy|huge|tiny) are you?
how many (parameters|weights) (do you have|have you got|are in you|are you made of)?
(what is|what's) your size?
(how much|how many) (memory|disk|space|megabytes) do you (need|take|use|have)?
(are you|how) (small|big|large|a big model|a small model|a large language model)?
(your|the built-in model's) (size|parameters|parameter count)?
how (large|big) is the (built-in model|guide|model that comes with it|included model)?
(number of|how many) layers (do you have|)?
""", """
I am small: about 16 million parameters, about 33 megabytes in bf16. Common chat models are a hundred times larger (or more|).
About 16 million parameters in 6 layers. That is tiny: models that know the world have billions.
""")

fact("trained", """
how were you (trained|made|built|created|taught)?
(who|what) (made|built|created|trained|wrote|programmed) you?
(what|which) (data|text|texts|books) were you trained on?
where (do you come from|are you from|were you made|were you born)?
(what|how) did you learn (from|to speak|to write|that|)?
(who is|who are) your (maker|makers|creator|creators|parents|developer|developers|author)?
what (books|texts) have you read?
(how long|when) (were you trained|did your training take)?
when were you (born|made|created)?
what is in your training (data|set|text)?
""", """
The Inglenook project trained me, in a few minutes on one GPU, with old public-domain stories and with dialogues that it wrote itself. The recipe is in the folder models/guide.
I was made by the Inglenook project: trained for some minutes on public-domain stories and on dialogues written for me. Everything about it is in models/guide.
""")

fact("not_other", """
are you (ChatGPT|GPT|GPT-4|Claude|Gemini|Llama|Siri|Alexa|Qwen|Copilot|Mistral|DeepSeek|a GPT|based on Llama|like ChatGPT)?
(is this|am I talking to) (ChatGPT|GPT|Claude|Gemini|Siri|Alexa)?
(how are you different from|are you better than|are you as good as|are you as smart as) (ChatGPT|GPT|Claude|Gemini|a big model|other models)?
did (OpenAI|Google|Meta|Microsoft|Anthropic) (make|build|train) you?
are you from (OpenAI|Google|Meta|Microsoft|Apple)?
""", """
No. I am the guide, a small model that comes with Inglenook, and far smaller than those. I tell stories and explain this program.
No, I am Inglenook's own little model. The big ones know much more than I do; I tell short stories and know this program.
""")

fact("remember_learn", """
do you (remember|remember me|remember things|have a memory|forget)?
will you remember (this|me|our talk|what I said) (tomorrow|later|next time|)?
(do you|can you|are you able to) learn (from me|from this chat|new things|from what I type|something new|)?
(can I|how can I) (teach|train) you (something|)?
do you (get better|get smarter|improve) (over time|when I talk to you|)?
do you know what (we|I) (said|talked about) (yesterday|last week|before|last time)?
""", """
I only see this conversation. I do not learn from it, and in a new one I start afresh.
No, I do not learn from our talk. I see what is in this conversation, and nothing of any other.
""")

fact("backend", """
(what is|what's|whats|explain) a backend?
what (does|do) (backend|backends|the word backend) mean?
(explain|describe|tell me about) (backends|the backends|a backend)
(which|what) backends (are there|exist|does it have|do you have|can I use|are available|does Inglenook support)?
how many backends (are there|does Inglenook have)?
(list|name|show) (the backends|all backends)
what do you mean by backend?
why (are there|does it have|do you have) (several|three|different|many) backends?
what is the difference between the backends?
(what is|what's) the difference between (wgpu and CUDA|CUDA and wgpu|the CPU and wgpu|CPU and CUDA)?
(wgpu or CUDA|CUDA or wgpu|CPU or GPU), what is the difference?
backend?
what part (does the computing|computes the model|runs the model)?
""", """
A backend is the part that does a model's computing on a kind of device. Inglenook has three: wgpu for any vendor's GPU, CUDA for NVIDIA, and the CPU.
Backends carry out a model's computations. There are three: wgpu runs on GPUs of any vendor, CUDA on NVIDIA cards, and the CPU backend runs everywhere.
""")

fact("wgpu", """
(what is|what's|explain|whats) wgpu?
(what does|when do I use) (wgpu|the wgpu backend) (do|)?
tell me about (wgpu|the wgpu backend)
(does it|will it|does Inglenook|can it|can Inglenook|will this) (work|run) (on|with) (AMD|Intel|an AMD card|my AMD GPU|Intel graphics|a Radeon|a Mac|Apple silicon|an integrated GPU|Vulkan|Metal|my laptop GPU|Arc|a Radeon card)?
I have (an AMD|an Intel|a Radeon|an Apple|an integrated|an Arc) (GPU|card|graphics card|chip|graphics), (does that work|will it work|can I use it|is that good|is it supported|any use)?
(do I|does it) need (NVIDIA|an NVIDIA card|a NVIDIA GPU|CUDA)?
(can I|how do I) use (it|Inglenook|this) without (CUDA|NVIDIA|an NVIDIA card)?
(which|what) (GPUs|graphics cards|video cards|cards|GPU vendors) (are supported|work|does it support|can I use)?
(is|are) (AMD|Intel|Apple|Radeon|Vulkan|Metal|DirectX) (GPUs|cards|chips|) (supported|okay|possible|)?
what about (AMD|Intel|Radeon|Apple|Vulkan|Metal)?
""", """
wgpu is the backend for any vendor's GPU: AMD, Intel, NVIDIA or Apple, through Vulkan, Metal or Direct3D 12. CUDA is not needed for it.
Yes, through wgpu: that backend works on GPUs of AMD, Intel, NVIDIA and Apple, by way of Vulkan, Metal or Direct3D 12. Without a GPU, the CPU is used.
""")

fact("cuda", """
(what is|what's|explain|whats) CUDA?
(what does|when is|when do I use) (CUDA|the CUDA backend) (do|used|for|)?
tell me about (CUDA|the CUDA backend)
(does it|can it|does Inglenook) (use|support|have) (CUDA|NVIDIA|tensor cores|NVIDIA cards|my NVIDIA GPU|RTX cards)?
I have an NVIDIA (card|GPU), (what should I use|which backend|what is best)?
(do I need to|must I|should I) install (CUDA|the CUDA toolkit|NVIDIA drivers)?
what (is|makes) CUDA (good for|better|faster|special)?
(which|what) backend for (NVIDIA|an NVIDIA card|my RTX|a GeForce)?
(my|does my) (RTX|GeForce|NVIDIA card) (work|works) (with this|here|)?
what are tensor cores (for|)?
""", """
CUDA is the backend for NVIDIA GPUs. It uses their tensor cores, also for int8. It is loaded while running, so the program works without it.
On NVIDIA cards the CUDA backend computes with tensor cores. Nothing of CUDA is needed to build Inglenook or to run it elsewhere; wgpu works on NVIDIA too.
""")

fact("cpu", """
(what is|explain|tell me about) the CPU backend
(can I|does it|will it|can Inglenook) (run|work|use it) without a (GPU|graphics card|video card)?
(do I|does it) need a (GPU|graphics card|video card|fast computer|strong machine)?
I (have no|do not have a|don't have a) (GPU|graphics card), (can I use it|does it work|what happens)?
(does it|can it|will it) (run|work) on (the CPU|just a CPU|an old laptop|a slow machine|only a processor|my processor)?
(what if|what happens if) (there is|I have) no (GPU|graphics card)?
(is|how good is|how fast is) the CPU (slow|good enough|enough|backend|)?
can the (processor|CPU) (do it|run the model|run models|do the work) (alone|)?
no (GPU|graphics card), (what now|does it still work|is that a problem)?
""", """
No GPU is needed. The CPU backend runs every model too, with the vector instructions of your processor; it is slower where memory is slower.
Inglenook also runs on the CPU alone. It uses the processor's vector units and all cores, and it steps in where there is no GPU or the GPU has no room.
""")

fact("choose_device", """
how (do|can) I (choose|select|pick|switch|change|set) (the device|a device|the backend|a backend|which GPU|the GPU|another backend|another device|between backends)?
how do I (use|run on|run it on|force) (the CPU|my GPU|the second GPU|another GPU|wgpu|CUDA)?
(which|what) (device|GPU|backend) (is used|does it use|will be used|is in use|am I on) (by default|if I do not choose|right now|)?
can I switch (the backend|backends|the device) (in the middle of a conversation|during a chat|while chatting|)?
(change|switch) (the backend|the device|to the CPU|to CUDA|to wgpu|to the GPU)
how does it (decide|choose|know) (where to run|which device|which backend|what device) (to use|)?
I have two (GPUs|graphics cards), how do I (choose|pick the second|use the other one)?
what does (--backend|the backend option|--device) (do|mean)?
""", """
By default the best device is taken: a discrete GPU, else an integrated one, else the CPU. In the terminal, --backend cpu or --backend wgpu:1 chooses another; the app can switch in the middle of a conversation.
Use --backend in the terminal, such as --backend cpu, --backend cuda or --backend wgpu:1, or choose in the app's window. Without it, Inglenook takes the best device.
""")

fact("devices", """
(which|what) devices (do I have|are there|does it see|can it use|are found)?
how (do|can) I see my (devices|GPUs|graphics cards|hardware)?
(what does|what is) ingle devices (do|)?
(list|show|show me) (my|all|the) (devices|GPUs|hardware)
(it does not|why does it not|Inglenook does not) (find|see|show) my (GPU|graphics card|card)
(my GPU is|the graphics card is) (missing|not found|not listed|not shown|ignored)
how do I (find out|check|know) (if my GPU is used|whether my GPU works|what GPU I have)?
""", """
The command ingle devices lists every device that can run models, with its memory, its kernels and which of them were checked. For a device that cannot be used it says why.
Type ingle devices: it shows each device with memory, features and checked kernels, and tells why others are not available.
""")

fact("speed_differs", """
why (are|is) (the tokens per second|the speed|speeds|the rate) (different|so different|not the same) (between|on|for) (devices|backends|machines|models)?
why (do|does) (tokens per second|the speed|tokens/s) (differ|vary|change)?
why is (it|this|my model|the model|the big model|a large model|a larger model) (so slow|slow|slower|slower than the small one)?
why is (one|a) (backend|device|GPU|model|machine) (faster|slower) than (another|the other|others)?
what (decides|determines|limits) (the speed|how fast it is|tokens per second|how many tokens per second I get|the rate of tokens)?
(what is|explain) (memory bandwidth|bytes per token|the bottleneck|bandwidth)
how (is|does) (memory bandwidth|bandwidth|memory speed) (important|matter|related to speed|limit the speed)?
why (does|is) (the size of the model|model size|a bigger model|a big model) (matter|make it slower|slow things down|slower)?
why (do|are) (small|smaller) models (run faster|faster|so fast|so much faster|quick)?
why (do|are) (big|large|bigger) models (run slower|slower|so slow|so much slower)?
what makes (a model|a GPU|a backend|it) (fast|slow|faster)?
(what is|what does) tokens per second (mean|)?
(is|why is) (decoding|writing|generation) (bound by memory|limited by memory|memory bound)?
my (GPU|card|laptop) (is slow|gives few tokens per second|is slower than I thought), why?
""", """
To write one token, all weights of the model are read from memory once. So tokens per second are about the memory bandwidth of the device divided by the bytes of the model: small models and fast memory are quick.
Speed in writing is a matter of memory: each token needs all weights read once. A model with twice the bytes is half as fast, and a device with twice the memory bandwidth is twice as fast.
Memory bandwidth decides. Every token reads all the model's bytes, so a large model is slow and a small one fast, and a GPU with fast memory wins.
""")

fact("faster", """
how (do|can) I (make it faster|speed it up|speed things up|get more speed|get more tokens per second|make the model faster|run faster)?
(can it|can this|could it) (be|go|run) faster?
(it is|this is) too slow, what can I do?
(which|what) (settings|options|format) (make it faster|are fastest|is fastest|gives the most speed)?
(tips|any tips|ideas) for more speed
how to (increase|improve|raise) (speed|performance|tokens per second)?
""", """
Let it read fewer bytes per token: a smaller model, or smaller weights, such as --weights int8 or nf4. And choose the device with the fastest memory; ingle bench measures it.
Use a smaller format, such as int8 or NF4, or a smaller model, and the device with the highest memory bandwidth. ingle bench and ingle compare show what it gains.
""")

fact("which_fastest", """
(which|what) (backend|device) (is|is the) (fastest|best|quickest) (here|on my machine|for me|)?
(which|what) backend should I (use|choose|pick|take)?
(is|will) (CUDA|wgpu|the GPU|the CPU) (faster|be faster|slower|better) (than wgpu|than CUDA|than the CPU|)?
(what is|which is) better, (wgpu or CUDA|CUDA or wgpu|CPU or GPU|the GPU or the CPU)?
how do I (find|know|find out) (which backend is fastest|what is fastest|which is faster|the fastest backend)?
should I (use|take) (the GPU|CUDA|wgpu|the CPU)?
""", """
That depends on your machine, and Inglenook can tell you: ingle compare runs the same model and prompt on each backend, one after another, and shows which is faster and why. Mostly it is the device with the fastest memory.
Measure it: ingle compare, or the compare view in the app, runs the same prompt on every backend fairly. On NVIDIA cards CUDA is mostly first; elsewhere wgpu on the GPU.
""")

fact("prefill_decode", """
(what is|what's|explain|whats) (prefill|decode|decoding|prefill and decode|the prefill)?
(what is|explain) the difference between (prefill and decode|reading and writing|prefill and generation|reading the prompt and writing)
what (does|do) (prefill|decode|prefill and decode) mean?
why are there two speeds?
why is (prefill|reading the prompt|reading) (faster|so much faster|quicker) than (decode|writing|decoding)?
(prefill|decode)?
why does it show two (numbers|speeds|rates)?
what happens (before|when) (the answer|a reply|it answers) (starts|begins|)?
""", """
Prefill is reading your prompt, many tokens at once, which is limited by computing. Decode is writing the reply, one token at a time, which is limited by memory bandwidth. So reading is much faster per token than writing.
First the prompt is read: that is prefill, and all its tokens go through together. Then the reply is written token by token: that is decode, where each token has to read all weights again.
""")

fact("first_token", """
why (is|does) the (first token|first word|start|beginning) (slow|so slow|take so long|take long|take a while|late)?
(what is|what does) time to first token (mean|)?
why (do I have to|do I) wait (before|until) (it starts|the first word|the answer starts|it answers|anything comes|it says something|the reply begins)?
why does it (pause|wait|think|hang) (before|until) (answering|it starts|the first word|writing)?
(it takes|why does it take) (long|a long time|some seconds|ages) (to start|to begin|before it answers|until the first word)
why is there a (delay|pause|wait) at the (start|beginning)?
why is it slow (at first|in the beginning|at the start) and (then fast|fast later|quick afterwards)?
""", """
Before the first word, the whole prompt has to be read; that is called prefill, and a long prompt takes longer. After that, only one token at a time is computed. Later turns only read what is new.
Because your prompt is read first, all of it, before anything can be written. Then the words come one by one and quickly. In a second turn only the new part is read.
""")

fact("first_start", """
why (is|was) the first (start|run|load|time) (so slow|slow|slower)?
(what is|why is it) (checking kernels|checking the kernels|kernels were checked|the kernel check)?
why does it (check|test) (kernels|the GPU|my device) (first|at the start|)?
(why|how come) (is loading|does loading) (slow the first time|take longer the first time|slower at first)?
is the second start faster?
(what are|what is) (kernels|a kernel)?
""", """
When a device is used for the first time, its kernels are checked against exact arithmetic, which takes a few seconds. The result is remembered, and converted weights are kept too, so the next start is fast.
At the first use, Inglenook checks the kernels on your device and converts the weights where that is asked for. Both are remembered, so later starts are quick.
""")

fact("add_model", """
how (do|can) I (add|get|install|download|load|use|open|import|pull) (a model|another model|a new model|models|more models|other models|a bigger model|a better model|my own model)?
where (do I|can I) (get|find|download|put|place|store) (models|a model|other models|my models|a downloaded model|the model files|model files)?
(can I|is it possible to) (use|load|run|add) (other models|another model|a bigger model|Llama|Qwen|Mistral|Gemma|my own model|models from Hugging Face|Hugging Face models)?
how (do|can) I (use|get|download) (a model|models|something) from (Hugging Face|huggingface|HF|the hub)?
I want (a bigger model|a better model|another model|a smarter model|to add a model|to download a model)
(add|install|download|get|load|pull) (a model|another model|a new model|Qwen|Llama)
what does (ingle models pull|models pull|pull) do?
I (downloaded|have|got) a model (folder|from Hugging Face|in a folder|), (where does it go|how do I use it|what now|how do I load it)?
(adding|installing|downloading) models?
how to (add|load|install|download) (a model|models)?
I have (a folder with a model|model files|a model on my disk), how do I (open it|load it|run it)?
which command (downloads|gets|loads) a model?
""", """
Type ingle models pull owner/model to download one from Hugging Face; it says where it lies. A folder of yours with config.json, safetensors and tokenizer.json works as well: ingle chat --model FOLDER. The app has a model library for both.
From Hugging Face: ingle models pull owner/model. From your disk: ingle chat --model FOLDER, where the folder holds config.json, the safetensors files and tokenizer.json. In the app, use the model library.
""")

fact("list_models", """
(which|what) models (do I have|are here|are on this machine|are installed|can I use now|are there)?
how do I (list|see|show) (my models|the models|all models|installed models)?
(list|show|show me) (my|the|all|installed) models
what does ingle models list do?
where are (my models|the models|downloaded models|model files) (stored|kept|saved|located)?
(where|in which folder) does it (store|keep|save|put) (models|downloads|the models)?
how do I (delete|remove) a model?
""", """
ingle models list shows the models on this machine. Downloads lie in the Hugging Face cache, which other programs share; with --folder it looks in a folder of yours too.
They are in the Hugging Face cache, and ingle models list shows them with size and state. Folders of your own can be added with --folder.
""")

fact("supported_models", """
(which|what) (models|model families|architectures|kinds of models) (are supported|does it support|can it run|work|can I run|does Inglenook support)?
(does it|can it|does Inglenook|can Inglenook) (support|run|load) (Llama|Qwen|Mistral|Gemma|Phi|Mixtral|SmolLM|Granite|OLMo|Qwen3|Llama 3|Phi-3|Gemma 3|mixture of experts models)?
is (Llama|Qwen|Mistral|Gemma|Phi|Mixtral|SmolLM) supported?
(list|name) the supported (models|families|architectures)
what (files|file format|format) (does a model need|must a model have|do models need|does it load)?
(does it|can it) (read|load|open) safetensors (files|)?
""", """
It runs the families Llama, Qwen 2 and 3, Mistral, Mixtral, Phi-3, Gemma, Granite, OLMo 2, SmolLM3 and StarCoder2, from ordinary Hugging Face folders with safetensors files.
Llama, Mistral, Mixtral, Qwen 2 and 3, Phi-3, Gemma, Granite, OLMo 2, SmolLM3, StarCoder2: a folder with config.json, safetensors and tokenizer.json is what it needs.
""")

fact("quantize", """
(what is|what's|explain|whats) (quantisation|quantization|quantising|quantizing|a quantized model|quantised weights)?
what (does|do) (quantise|quantize|quantisation|quantization|quantized) mean?
how (do|can) I (quantise|quantize|shrink|compress|squeeze|make smaller) (a model|the model|the weights|my model)?
(can I|is it possible to) make (a model|the model|it) (smaller|use less memory)?
what does (ingle quantize|the quantize command|--weights) do?
how (do I|to) (save memory|use less memory|reduce memory|need less memory)?
why (quantise|quantize|would I quantise|should I quantize) (a model|)?
(quantisation|quantization)?
""", """
Quantising keeps each weight in fewer bits, so the model takes less memory and writes faster, at the cost of some accuracy. Use --weights int8 or --weights nf4 when loading, or ingle quantize to write a smaller folder.
It means storing the weights with fewer bits: int8 takes half of 16-bit weights, NF4 about a quarter. The model gets faster and slightly less exact. ingle quantize writes such a model; --weights does it while loading.
""")

fact("quantize_cost", """
what does (quantising|quantisation|quantization|quantizing|a smaller format|fewer bits) cost (me|)?
(how much|what) (quality|accuracy) (do I lose|is lost|does it cost|goes away) (with int8|with nf4|with quantisation|with fewer bits|)?
(is|are) (quantised|quantized) (models|weights) (worse|bad|less accurate|dumber)?
(does|will) (quantising|quantization|int8|nf4) (hurt|harm|reduce|change) (quality|the answers|accuracy|the model)?
how (do|can) I (measure|see|know|find out) what (a format costs|quantisation costs|quality I lose|int8 costs)?
what does ingle quality do?
(what is|explain) ingle quality
how good is a (quantised|quantized|compressed) model?
what (is|do) (mean KL|KL divergence|top-1 agreement|perplexity and KL) (mean|)?
is (int8|nf4|w8a8) (worse|less accurate|much worse) than (f16|bf16|the original)?
""", """
Some accuracy, which can be measured: ingle quality shows perplexity, mean KL divergence and top-1 agreement of each format against f16. Mostly int8 costs almost nothing, and NF4 a little more.
Fewer bits make the numbers coarser. int8 is mostly so close that you will not notice; NF4 costs more. ingle quality measures it, as perplexity, KL divergence and agreement with f16.
""")

fact("int8", """
(what is|what's|explain|whats) int8?
what (does|do) int8 (do|mean|cost|give|save)?
(tell me about|describe) (int8|the int8 format|8 bit weights|eight bit weights)
(how much memory|how many bits) does int8 (need|take|use|save)?
what are (groups|group sizes|int8-g32|int8-g128|g64) (in int8|)?
(int8|8 bit|eight bits)?
should I use int8?
what (do|does) (8-bit|8 bit|eight-bit) (weights|) (do|mean|cost)?
""", """
int8 keeps each weight in 8 bits, and groups of 64 weights share a scale: 8.25 bits per weight, half of f16. So the model takes half the memory and writes nearly twice as fast, with hardly any loss.
In int8 a weight has 8 bits; 32, 64 or 128 weights share one scale. It needs about half the memory of f16, is almost twice as fast in writing, and costs very little accuracy.
""")

fact("nf4", """
(what is|what's|explain|whats) (nf4|NF4|NormalFloat|4-bit|NormalFloat-4)?
what (does|do) (nf4|NF4|4 bit weights|4-bit|four bits) (do|mean|cost|give|save)?
(tell me about|describe) (nf4|NF4|4 bit weights|four bit weights|the 4-bit format)
(how much memory|how many bits) does (NF4|nf4) (need|take|use|save)?
(nf4|4 bit|four bits|4-bit)?
should I use (nf4|NF4|4 bit|four bits)?
(what happens|what do I lose|what is lost|what does it cost) (if I use|with|in) (nf4|NF4|4 bits|four bits|four-bit weights|4-bit weights)?
(is|are) (four bits|4 bits|4-bit weights) (enough|bad|good enough|okay)?
""", """
NF4 keeps each weight in 4 bits, as one of 16 values that suit the bell curve of weights; with the scale of each 64 it is 4.25 bits. That is about a quarter of f16, so more fits and writing is faster, but some quality is lost: more than with int8.
NF4 stands for NormalFloat with 4 bits: 16 levels, groups of 64, 4.25 bits per weight. It needs about a quarter of the memory of f16 and is fast, at the cost of some accuracy, more than int8.
""")

fact("w8a8", """
(what is|what's|explain|whats) (w8a8|W8A8)?
what (does|do) (w8a8|W8A8) (do|mean|cost|give)?
(tell me about|describe) (w8a8|W8A8|int8 activations)
(when|why) (should I use|use|would I use) (w8a8|W8A8)?
what is the difference between (int8 and w8a8|w8a8 and int8)?
(w8a8|W8A8)?
""", """
In w8a8 both weights and activations are int8: weights by output, activations while running. So whole products run in int8 on tensor cores or packed dot products, which makes reading long prompts and large batches fast. It costs a bit more accuracy than int8.
w8a8 means 8-bit weights and 8-bit activations. The products are integer products, which is good for long prompts and many replies at once; the cost is a little accuracy.
""")

fact("f16", """
(what is|what's|explain|whats) (f16|bf16|float16|half precision|bfloat16|fp16)?
what (does|do) (f16|bf16|fp16|half precision) (do|mean|cost)?
(what is|explain) the difference between (f16 and bf16|bf16 and f16|f16 and int8)
(f16|bf16|fp16)?
should I use (f16|bf16|fp16|full precision)?
(tell me about|describe) (f16|bf16|16-bit weights)
""", """
f16 and bf16 keep each weight in 16 bits, as most checkpoints have them. Nothing is lost, but they take twice the memory of int8 and are about half as fast in writing.
They are 16-bit formats: f16 has finer steps, bf16 a wider range. Weights stay as the checkpoint has them, at two bytes each, which is the reference that smaller formats are compared with.
""")

fact("which_format", """
(which|what) (format|weight format|quantisation|weights) (should I use|should I choose|is best|do you recommend|shall I take|do I need)?
(what are|list|explain) the (formats|weight formats)
(what|which) formats (are there|exist|does it have|can I choose)?
(int8 or nf4|nf4 or int8|f16 or int8|int8 or w8a8), (which is better|which one|what should I take)?
what is the best (format|quantisation) for (me|my laptop|little memory|speed|quality)?
""", """
If it fits, f16 or bf16 loses nothing. int8 is half the size and almost as good, so it is a fine choice for most. NF4 is for when memory is short, and w8a8 for long prompts and many replies at once.
There are f32, f16, bf16, int8, nf4, int4 and w8a8. Take int8 for most purposes, nf4 where memory is short, and bf16 or f16 where you want the original numbers.
""")

fact("fit", """
(will|does|would|could|can) (it|this model|a model|the model|a 7B model|an 8B model|a 13B model|a 70B model|a big model|a 3B model) fit (on my machine|in memory|into my GPU|into 8 GB|into my memory|on my card|here|)?
(how much|what amount of) (memory|RAM|VRAM) (do I need|does a model need|does a 7B model need|is needed|does it take|will it take)?
how (do|can) I (know|see|check|find out) (if|whether) (a model fits|it fits|it will fit|my machine can run it|there is enough memory)?
(what does|what is) ingle estimate (do|)?
(can|could) (my machine|my laptop|my GPU|this computer|I|8 GB|16 GB) (run|handle|hold|load) (a 7B model|a big model|a 13B model|70B|an 8B model|that model)?
(do I have|is there) enough (memory|RAM|VRAM) (for a 7B model|for it|for this model|)?
(is|are) (8 GB|16 GB|4 GB|8 gigabytes|6 GB|12 GB) (enough|too little|sufficient) (for a 7B model|for a model|for an 8B model|)?
(will it fit|does it fit)?
what is the largest model (I can run|that fits|for my machine|for 8 GB)?
how large a model can I (run|use|load)?
""", """
Weights plus cache must fit into memory. At 7 billion parameters, f16 needs about 14 GB, int8 about 7 GB and NF4 about 4 GB, plus the cache. ingle estimate works it out for a model and a device before anything is downloaded.
It is arithmetic: parameters times bytes per weight (2 in f16, about 1 in int8, about half in NF4), plus the cache for the context. ingle estimate, or the model library in the app, tells you before loading.
""")

fact("not_fit", """
what (happens|do I do|can I do|should I do) (if|when) (it does not fit|the model does not fit|memory runs out|there is not enough memory|I run out of memory|the model is too big|it is too large)?
(out of memory|not enough memory|the model does not fit), (what now|what can I do|help)?
(I get|it says|there is) (an out of memory error|out of memory|that it does not fit|not enough memory)
(it is|the model is) too (large|big) for my (GPU|memory|machine|card)
my (GPU|card) is full
""", """
Choose smaller weights (--weights int8 or nf4), a shorter context (--context) or an int8 cache (--cache int8). Inglenook checks before loading and names what would fit; with the device on auto, the CPU steps in where the GPU has no room.
Nothing breaks: it is worked out before loading, and you are told what would fit. Smaller weights such as nf4, an int8 cache, or a shorter context help, and so does the CPU, which has more memory.
""")

fact("compare", """
what (does|is) the (compare view|comparison|compare page|compare window|compare tab) (show|for|)?
(what does|what is) ingle compare (do|show|for|)?
how (do|can) I compare (backends|devices|two backends|two devices|GPU and CPU|formats|models on two devices)?
(explain|describe|tell me about) (the compare view|comparing|the comparison|the compare window)
what (do|can) I see (in|when) (the compare view|comparing|I compare backends|a comparison)?
(can I|how do I) (put|run) (two backends|backends|several devices|two devices) side by side?
what (do|does) the (numbers|columns|heat strip|bars) in (compare|the compare view|the comparison) mean?
(compare|comparing) (backends|devices)?
(how|is) the comparison (fair|made|done)?
""", """
Compare runs the same model and prompt on several backends or formats, one after another with the same seed. It shows the time to the first token, tokens per second, bytes per token, share of the memory bandwidth and memory; the texts side by side with the first difference marked; how well they agree; and where the time goes.
It shows the same prompt on two or more backends: speeds of reading and writing, memory, share of the device's bandwidth, the replies side by side with the first differing token marked, their agreement, and the time per operator. In the terminal it is ingle compare.
""")

fact("same_output", """
(does it|do they|do the backends|will it|do all backends) (say|write|give|produce) the same (thing|text|answer|result|on each backend|on every device|everywhere|)?
(is|are) the (answer|answers|text|result|results|output) the same on (each|every|all) (backend|backends|device|devices|GPU)?
why (does|do) (the CPU and the GPU|two backends|the backends|wgpu and CUDA) (give|write|say) (different|not the same) (text|answers|things)?
why (is|are) the (texts|answers|replies) (different|not equal|not the same) (on two devices|between backends|)?
(do|does) (the GPU and the CPU|CUDA and wgpu|different devices) (agree|say the same|match)?
(what is|what does) the first (difference|differing token|divergence) (mean|)?
(is|are) (it|the results|replies) (deterministic|reproducible|repeatable)?
""", """
Nearly. Each backend is checked against exact arithmetic, but sums are rounded in a different order, so where two tokens are almost equally likely the texts can part. On one device, the same seed gives the same text. Compare marks the first difference.
Mostly yes: the numbers agree up to rounding. Where two words are almost equally likely, rounding decides, and from there the texts differ. The compare view marks that place and shows how well the backends agree.
""")

fact("lost_device", """
what (happens|do I do|should I do|can I do) (if|when) (a device is lost|the device is lost|the GPU is lost|the driver crashes|the GPU crashes|the driver resets|my GPU fails|a GPU hangs|the graphics driver crashes)?
(the|my) (GPU|device|driver|graphics driver|graphics card) (was lost|crashed|was reset|failed|hung|died|disappeared|stopped) (in the middle of a reply|during an answer|while it wrote|halfway through|), (what now|what do I do|did I lose my text|what happens)?
(it says|what does it mean|I see) (device lost|that the device was lost|the device is lost)
(device lost|lost device|GPU lost)?
do I lose (my text|my chat|the conversation|everything|the answer|my work) (if the GPU crashes|when the device is lost|when the driver crashes|in a crash)?
is (my conversation|my chat|the text|the reply) (safe|lost|gone) (if|when) the (GPU|driver|device) (crashes|fails|is lost)?
(what if|and if) the (driver|GPU|device) (crashes|dies|is gone|fails)?
""", """
Nothing is lost. The model is loaded again on the device and the reply goes on from its tokens; if that fails, the CPU can take over. You are told that it happened. If it happens often, update the driver or choose another device.
Your text is safe. Inglenook loads the model anew, computes the cache again from the tokens, and the reply goes on. Should it happen often, look for a newer driver, or use --backend cpu.
""")

fact("cache_context", """
(what is|what's|explain) the (cache|KV cache|key-value cache|cache of keys and values)?
(what does|why does) the cache (do|take memory|need memory|grow)?
(what is|what's|explain|whats) (the context|context|a context window|the context window|context length)?
how (long|large|big) is the context?
(what does|how do I set) --context (do|)?
how (do|can) I (change|set|make larger|increase) the context?
how much (memory|space) does (the cache|a long context|context) (need|take|cost)?
(what is|what does) (an int8 cache|--cache int8|the cache format) (do|for|)?
what (is|are) (pages|a paged cache|the paged cache)?
how much can (it|the model) remember (in one chat|at once|)?
""", """
The context is how many tokens a model can see at once. For each of them the cache keeps keys and values, so that nothing is computed twice; it takes memory that grows with the context. --context sets its length, and --cache int8 halves it.
The cache keeps what the model worked out for each token of the conversation, so only new tokens have to be computed. Its size grows with the context, the number of tokens seen at once; --cache int8 takes half of f16.
""")

fact("context_full", """
what (happens|if|happens if|happens when) (the context is full|the conversation gets too long|the chat is too long|the context runs out|my conversation is very long)?
(it forgot|why did it forget|why does it forget) (what I said|the beginning|the start of the conversation|earlier messages|)
why are (some|old|the first) messages (grey|greyed|grey now|not seen)?
(the context|my context) is full
(the chat|the conversation) is (too long|very long), (what happens|what now)?
""", """
The oldest messages are then no longer shown to the model; the app greys them, and your text stays. A larger --context, or a new conversation, helps.
When the context is full, the oldest messages drop out of what the model sees. They stay in the conversation, greyed. In the terminal, --when-full stop ends instead.
""")

fact("privacy", """
(is|are) (my data|my text|my chats|this|it|my conversations|what I type) (private|safe|secret|secure|local)?
(does it|do you|does Inglenook|does this) (send|upload|share) (my data|my text|anything|data|my chats|what I type) (anywhere|to a server|to the cloud|to the internet|to anyone|)?
(who|can anybody|can anyone) (can|) (see|read) (my chats|what I write|my text|this|my conversations)?
(does it|do you|does Inglenook) (need|use) (the internet|a network|a connection|the cloud)?
(does it|can I use it|does Inglenook) (work|run|) (offline|without internet|without a network)?
(do you|does it) (collect|store|track|spy on|record) (data|me|anything|my data)?
where does (my text|my data|what I type|it) go?
(privacy|is this private|offline)?
is there (telemetry|tracking|any telemetry|an account|a login)?
do I need (an account|to log in|to sign up|internet)?
(does|will) (anything|something|any of it) leave my (computer|machine|laptop)?
""", """
Everything stays on this machine: models run here, and conversations are kept here. The network is only used when you download a model.
Yes, it is private: nothing that you type leaves your machine. Only downloading a model uses the network, and after that it works offline.
Nothing is sent anywhere. The model runs on your own machine and your conversations are stored there. The network is needed only to download models.
""")

fact("licence", """
(what is|under which|which) (the licence|licence|the license|license is it|license|licence is this)?
(is|are) (it|Inglenook|this) (free|open source|free software|free of charge)?
(what does it|how much does it|does it) cost (anything|money|)?
(can I|may I) (use|copy|change|sell) (it|Inglenook) (at work|commercially|in my company|for free|)?
(do I have to|must I) pay (for it|for this|for Inglenook|)?
(licence|license|price)?
(where is|can I see) the source code?
""", """
Inglenook is free and open: you may use it under the MIT licence or the Apache 2.0 licence, as you like.
It costs nothing and is open source, licensed under MIT or Apache-2.0 at your choice. Models have licences of their own.
""")

fact("regenerate", """
how (do|can) I (regenerate|redo|repeat|retry) (a reply|an answer|the answer|the last reply|it|)?
(what is|what does) regenerate (do|)?
(I do not like|I don't like) (the answer|this answer|the reply), (can I get another|what can I do)?
(can I|how do I) get (another answer|a different answer|a new reply|another version)?
(try again|write it again|another answer)?
how do I (switch|go) between (versions|answers) of a (reply|message)?
(does|is) regenerating (slow|read everything again|cost time)?
""", """
Press regenerate under the reply, or type /regenerate in the terminal: it is written again with another seed. In the app both versions are kept, and arrows switch between them. The prompt's cache is used again, so it starts at once.
Use the regenerate button in the app or /regenerate in the terminal chat. The old version is kept beside the new one in the app, and the prompt need not be read again.
""")

fact("edit_branch", """
how (do|can) I (edit|change|correct) (a message|my message|what I wrote|my question)?
(what is|what's|explain) (a branch|branching|branches)?
how (do|can) I (branch|make a branch|fork) (a conversation|the chat|)?
(can I|is it possible to) (edit|change|go back to) (an earlier message|my question|what I said|an old message)?
what (happens|happens to the rest) (if|when) I edit a message?
(editing|branches|branching)?
""", """
In the app, edit a message and send it: the conversation branches there, and arrows switch between the versions. Nothing is lost, and the part before the edit is not read again, since its cache pages are shared.
You can edit any of your messages in the app. That makes a branch: the old version stays, and arrows lead from one to the other. The common beginning is kept in the cache, so a branch costs nothing until it differs.
""")

fact("selftest", """
(what is|what's|explain) the (self-test|selftest|self test)?
(what does|what is) ingle selftest (do|for|)?
how (do|can) I (check|test|verify) (my GPU|that it computes correctly|my device|the kernels|that it is right|my driver)?
(is|are) the (results|numbers|computations) (right|correct|trustworthy)?
how do (I|you) know that (it|the GPU) (computes|calculates) (correctly|right|rightly)?
(test|check) my (GPU|device|machine)
can a (driver|GPU) (compute|be) wrong?
""", """
ingle selftest runs every operator in every format on every device and compares the result with exact arithmetic. Devices are also checked like this before their first use, and kernels that compute wrongly are passed over.
The self-test compares all operators on each of your devices with an exact reference in 64-bit floats. Type ingle selftest; a driver that computes wrongly is found by it.
""")

fact("sampling", """
(what is|what's|explain|whats) (temperature|the temperature|sampling|top-p|top-k|min-p|top p|top k|sampling temperature)?
(what does|what do) (temperature|top-p|top-k|min-p|sampling|the temperature) (do|mean|change)?
how (do|can) I make (it|the answers|replies|you) (more creative|less random|more random|more boring|more predictable)?
how do I (set|change) (the temperature|temperature|sampling|top-p)?
(what is|which is) a good temperature?
(temperature|top-p|top-k|sampling)?
why (is|are) (the answer|the answers|replies) (different each time|not always the same|random)?
(what does|explain) (temperature 0|temperature zero|greedy|greedy decoding) (do|mean|)?
""", """
A model gives each next token a probability, and one is drawn. Temperature says how freely: at 0 always the most likely one, near 1 more varied. top-k, top-p and min-p leave out unlikely tokens. Set it with --temperature or in the app's sampling panel.
Temperature is how freely the next word is drawn. Low is sober and repeatable, 0 always takes the most likely token, high is wilder. top-p and top-k cut off the unlikely ones.
""")

fact("seed", """
(what is|what's|explain) (the seed|a seed)?
how (do|can) I get the same (answer|text|reply) (again|twice|every time)?
(what does|how do I set) (--seed|the seed) (do|)?
(can I|how do I) (repeat|reproduce) (an answer|a reply|a result)?
(seed)?
""", """
The seed decides what is drawn: the same seed, prompt, settings and device give the same text again. Set it with --seed; otherwise each run has its own.
With --seed and a number you get the same reply to the same prompt on the same device every time. Without it, each run draws anew.
""")

fact("stored", """
where (are|is) (my conversations|my chats|conversations|the history|my history|my messages) (kept|stored|saved|located)?
(are|is) (my chats|my conversations|the conversation|everything|my text) saved?
(does it|will it) (save|keep|remember) my (chats|conversations|history)?
(what happens to|do I lose) my (chats|conversations) (if|when) (I close the window|the program crashes|the power fails|the computer crashes)?
(chat history|history|where is my history)?
how do I (save|keep) (a conversation|a chat|this chat)?
""", """
The app keeps conversations in a SQLite database in your user folder, on this machine only. Replies are stored as they grow, so even a crash loses less than a second of text. In the terminal, /save FILE writes a conversation to a file.
They are kept on your machine, in the app's own database, and saved while a reply is written. The terminal chat keeps nothing unless you type /save and a file name.
""")

fact("export_search", """
how (do|can) I (export|import) (a conversation|a chat|my chats|conversations)?
how (do|can) I (search|find) (a conversation|my chats|an old chat|in my conversations|an old message)?
(can I|how do I) (rename|pin|delete|copy) (a conversation|a chat|a message)?
(export|search|undo|rename|pin)?
(can I|how do I) undo (a deletion|deleting a chat|)?
I (deleted|lost|removed) a (chat|conversation|message) (by mistake|), (can I get it back|what now)?
""", """
The app's list of conversations can be searched, and a conversation can be renamed, pinned, exported and imported as Markdown or JSON, and deleted, which can be undone.
In the app: search above the list of conversations, and each can be renamed, pinned, exported as Markdown or JSON, or deleted with undo.
""")

fact("palette", """
(what is|where is|how do I open) the (command palette|palette)?
(which|what|are there) (keyboard shortcuts|shortcuts|keys|hotkeys) (are there|exist|)?
(can I|how do I) use (it|the app) (with the keyboard|without a mouse|by keyboard)?
how do I (find|reach) (a command|commands|all commands|a menu item) (by keyboard|)?
(shortcuts|keyboard|palette)?
""", """
Ctrl+K (Cmd+K on a Mac) opens the command palette: it finds every command, device and conversation. Type a few letters and press Enter; shortcuts are shown beside the commands.
The palette opens with Ctrl+K, or Cmd+K on a Mac. It lists all commands of the app with their shortcuts, so everything can be done from the keyboard.
""")

fact("window", """
how (do|can) I (open|start|show|get) (the window|the app|the desktop app|the graphical interface|the GUI)?
(is there|does it have) (a window|a GUI|a graphical interface|an app|a desktop app)?
(what does|what is) ingle gui (do|for|)?
(what happens|what do I get) (if|when) I (type|start|run) (ingle|just ingle|ingle alone)?
(no window opens|the window does not open|there is no window), (why|what now)?
(can I|how do I) use it without a (window|display|screen)?
(window|gui|app)?
""", """
Type ingle and the window opens; ingle gui insists on it. Where there is no display, ingle starts a conversation in the terminal and says so.
Just ingle opens the desktop app. Without a display you get a conversation in the terminal instead, which is also what ingle chat gives you.
""")

fact("app_look", """
(can I|how do I) (change|switch|get|use) (the theme|to dark mode|dark mode|a dark theme|the light theme)?
(is there|does it have) (a dark mode|a dark theme|a light theme)?
(can I|how do I) (change|switch) the language (of the app|of the interface|)?
(is|does) (the app|it|the interface) (in Chinese|available in Chinese|have other languages|speak Chinese)?
(does it|can it) (show|render|display) (Markdown|tables|code|code blocks)?
(dark mode|language)?
""", """
The app has a light and a dark theme and an interface in English and Chinese; replies are shown as Markdown, with tables and highlighted code. All of it is in the settings.
Light or dark, English or Chinese: see the settings of the app. Markdown, tables and code blocks are shown properly.
""")

fact("system_prompt", """
(what is|what's|explain) (a system prompt|the system prompt|a preset|presets|the system message)?
how (do|can) I (set|change|use|write) (a system prompt|the system prompt)?
(can I|how do I) (give|tell) (the model|it|you) (instructions|a role|rules)?
(what does|what is) (--system|/system) (do|)?
how do I make (the model|it|you) (speak|behave) (differently|like a pirate|in another way)?
""", """
A system prompt is what a model is told before the conversation. Set it in the app, where presets keep several, with --system, or with /system in the terminal chat. Larger models follow it well; I am too small to do so.
It is a text that the model sees first, and that says how it should behave. In the app it is beside the chat, in the terminal it is --system or /system. I myself hardly follow it: I am small.
""")

fact("profile", """
(what is|what does|what's) (ingle profile|the profile|profiling|the profiler) (do|show|for|)?
where does the time go?
(how|where) (do|can) I see (where the time goes|what takes the time|which operator is slow|time per operator)?
(what is|explain) (a roofline|the roofline|the roofline plot|an operator|the cost model)?
(what are|list) the (operators|operations) of a model?
(how do I|can I) profile (a model|the model|my GPU)?
""", """
ingle profile shows the time per operator, with its bytes, its share, and how near it comes to the device's peak in bandwidth or computing. At batch 1, nearly all time goes into reading weights.
Type ingle profile: for each operator you see calls, microseconds, bytes, GB/s and the share of the device's peak, and which limit holds it back.
""")

fact("bench", """
(what is|what does|what's) (ingle bench|the benchmark|bench) (do|show|for|)?
how (do|can) I (measure|benchmark|test) (the speed|speed|my GPU|performance|my machine|how fast it is)?
how fast is (my machine|my GPU|my laptop|this computer|my computer)?
(can I|how do I) (see|know|predict) (the speed|how fast a model is) (before downloading|before I download it|)?
(run|do|start) a benchmark
(benchmark|speed test)?
""", """
ingle bench measures how fast a model reads and writes on your device, and what share of the memory bandwidth that is. With --shape it needs no download: it takes random weights of that size.
Use ingle bench. For example, ingle bench --shape llama-3.2-1b --weights int8 measures a shape with random weights, so that you know the speed before you download.
""")

fact("perplexity", """
(what is|what's|explain|whats) perplexity?
(what does|what is) ingle perplexity (do|for|)?
how (do|can) I measure (how good a model is|perplexity|the quality of a model)?
(what is|which is) a good perplexity?
(perplexity)?
(what is|what does) ingle logits (do|for|)?
""", """
Perplexity tells how well a model foresees a text: the lower, the better; 1 would be perfect. ingle perplexity measures it for a text of yours.
It is a measure of surprise: among how many equally likely tokens the model seems to choose at each place. ingle perplexity computes it for a text file.
""")

fact("token", """
(what is|what's|explain|whats) (a token|tokens|the tokenizer|a tokenizer)?
what (does|do) (token|tokens) mean?
(how long|how many letters) is a token?
how many (words|tokens) (is a token|is a word|are in a word)?
(token|tokens|tokenizer)?
""", """
A token is a piece of text, often a word or a part of one. Models read and write tokens; a tokenizer turns text into them and back.
Models see text as tokens: words or pieces of words. A common English word is one token, a rare one takes several.
""")

fact("llm", """
(what is|what's|explain|whats) (a language model|an LLM|a large language model|a model|an AI model|a chat model)?
how (does|do) (a language model|you|an LLM|language models) work?
how do you (know|choose) (the next word|what to say|what to write)?
(what are|what is|explain) (weights|the weights|parameters|a parameter|model weights)?
how (do you|does a model) (write|make) (text|sentences|answers)?
what does (7B|8B|70B|billion parameters) mean?
""", """
A language model is a large table of numbers, its weights, that foresees the next token of a text. Writing is doing that again and again: each token is computed from all before it.
It reads a text and gives each possible next token a probability; one is drawn, added, and so on. What it learnt is in its weights, also called parameters: 7B means seven billion of them.
""")

fact("run_scripts", """
(how do I|can I|how can I) (use|call|run) (it|Inglenook|ingle) (in a script|from a script|from another program|in a program|in scripts|from the shell)?
(what is|what does) ingle run (do|for|)?
(is there|does it have) (JSON output|a JSON mode|a command for programs|an output for programs)?
(can I|how do I) pipe (text|a file) into (it|ingle)?
how do I get (one reply|a single answer|just one answer)?
(what is|what's) the difference between (chat and run|run and chat)?
""", """
ingle run writes one reply: ingle run "prompt", or with the prompt on standard input. With --json it prints text, tokens and timings for programs.
For scripts there is ingle run: it takes a prompt as an argument or from a pipe, prints the reply, and with --json everything about it.
""")

fact("commands", """
(what|which) commands (are there|exist|does ingle have|can I use|do you know|does it have)?
(list|show|show me|name) (the|all) commands
(what can I type|what can I do) in the terminal?
how (do|can) I use (the terminal|the command line|ingle in the terminal|ingle)?
(commands|command line|cli)?
(give me|show me) an overview of the commands
""", """
ingle alone opens the window, or a conversation where there is no display. The commands: chat and run for talking, models for downloads, devices, bench, selftest, profile, compare, estimate, quality, quantize and perplexity. ingle --help shows them all.
In the terminal: ingle chat, ingle run, ingle models pull, ingle devices, ingle bench, ingle compare, ingle profile, ingle estimate, ingle quality, ingle quantize, ingle selftest. Each has --help.
""")

fact("chat_terminal", """
(what can I type|which commands are there|what are the commands) in (the chat|chat|ingle chat|the terminal chat)?
(what is|what does) ingle chat (do|)?
how (do|can) I (stop|cancel|interrupt) (a reply|the answer|it|you)?
how (do|can) I (quit|exit|leave|end|close) (the chat|this|the program|ingle|)?
how do I (start|begin) a new (conversation|chat)?
how do I (write|enter|type) (several lines|more than one line|a long message)?
(quit|exit|stop)?
""", """
In the terminal chat: /new starts afresh, /regenerate writes the last reply again, /system sets the system prompt, /save FILE keeps the conversation, /quit ends. Ctrl-C stops a reply.
Ctrl-C stops a reply; /quit or Ctrl-D ends. /new begins a new conversation, /help lists the rest. In the app, there is a stop button.
""")

fact("requirements", """
(what do I need|what are the requirements|which computer do I need) (to run it|to run Inglenook|for Inglenook|for this|)?
(does it|will it|can it) run on (Windows|Linux|macOS|a Mac|my PC|my laptop|Windows 11|Ubuntu)?
(which|what) (operating systems|systems|platforms) (are supported|does it run on|work)?
(how much|what) (memory|RAM|hardware) do I need (at least|to start|)?
how (do|can) I (install|build|compile|start|run|update) (it|Inglenook|the program)?
(in|with) (which|what) (programming language|language) is (it|Inglenook) (written|made|built)?
(system requirements|installation)?
is it written in (Rust|Python|C++)?
""", """
It is written in Rust and runs on Linux, Windows and macOS, with or without a GPU. To build and start it you need only a Rust toolchain: cargo run --release. How much memory you need depends on the model.
Any common computer will do: Linux, Windows or macOS, and a GPU is welcome but not needed. Inglenook is built from source with Rust: cargo run --release.
""")

fact("error_slow_bug", """
(I found|there is) a (bug|problem|mistake|fault), (what do I do|where do I report it)?
(it does not work|something is wrong|it is broken|nothing works|I get an error), (what can I do|help|what now)?
(it crashed|the program crashed|it fails|loading fails)
(the model|the reply) is (nonsense|garbage|gibberish|strange), (why|what is wrong|what can I do)?
what (do|does) the (exit codes|exit code|error) mean?
(error|bug)?
why does it (write|say|produce) (nonsense|garbage|rubbish)?
""", """
Read the message first: it names the file or the device and says what to do. ingle selftest checks your devices, and --backend cpu shows whether the GPU is to blame. A bug can be reported to the project with both outputs.
First try ingle selftest, and the same with --backend cpu: if the CPU is right and the GPU wrong, it is the driver. Errors say which file or device is meant and what to do.
""")

fact("limits", """
why (are you|do you know|can you do) so (small|little|limited|dumb|stupid)?
why (do you not|don't you|can't you) (know|answer|tell me) (that|this|it|anything|more)?
(why can you not|can you not) (do more|do anything else|be smarter)?
what (are your limits|can you not do|don't you know|can't you do)?
(are you|you are) (stupid|dumb|not very smart|useless|limited)
how can I get (better|smarter|real) answers?
(which|what) model should I use (instead|for real questions|for real work|for better answers)?
can you (browse|search) (the web|the internet|online)?
(can you|are you able to) (see|look at|draw|make) (pictures|images|a picture|photos)?
can you (hear|speak|talk|sing)?
""", """
I am a very small model: I tell short stories and know Inglenook, and for more I would have to make things up. For real questions load a larger model: ingle models pull owner/model.
With 16 million parameters there is little room in me. Stories and Inglenook are what I know. A larger model, fetched with ingle models pull, knows far more.
""")

fact("fusion", """
(what is|what's|explain|whats) (fusion|graph fusion|the plan|a plan)?
(what does|what is) (--no-fusion|fusion) (do|for|)?
(what does|what is) ingle plan (do|show|for|)?
why (fuse|are operators fused)?
""", """
A model becomes a plan, a list of operators. Fusion joins neighbours in it, such as an addition and a norm, so that less goes through memory. ingle plan shows it, and --no-fusion leaves it out, so you can see what it is worth.
Fusion makes one operator of several neighbours, which saves trips to memory. ingle plan prints the list, and ingle bench --no-fusion shows the speed without it.
""")

fact("tier", """
(what is|what's|explain) a (tier|kernel tier)?
what (are|do) (tiers|the tiers|base, subgroup, f16, dot4 and coop) (mean|)?
(which|what) tier (is used|am I on|does my GPU have)?
(what does|what is) (INGLE_WGPU_TIER|--tier) (do|for|)?
""", """
A tier is a set of kernels that asks for certain features of a device: base runs everywhere, coop uses matrix units. The best one that computes rightly is taken; --tier or INGLE_WGPU_TIER forces one.
wgpu has the tiers base, subgroup, f16, dot4 and coop, each for GPUs with more features. Inglenook takes the best that passes its check on your device.
""")

fact("parallel", """
(can it|can I|does it) (answer|write|run) (several|many|two) (replies|chats|conversations|questions) at once?
(what is|explain) (batching|continuous batching|a batch|batch size)?
(is it|does it get) slower with (several|many|two) (chats|replies) at once?
(batch|batching|parallel)?
""", """
Yes: the engine writes several replies in one step, which is called batching. The weights are read once for all of them, so eight replies together take far less time than eight one after another.
Several replies can share each step. As the weights are read only once for all, the total of tokens per second rises; ingle bench --parallel 8 shows it.
""")
