package card

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// usage says how to use the model in each program that can.
func (m *model) usage() string {
	name := m.Repo
	if name == "" {
		name = m.Title
	}
	name = word(name)
	var b strings.Builder
	b.WriteString("## Use\n\n")
	talk := "generate " + name + " --prompt " + quote(m.prompt())
	if m.chat() {
		talk = "chat " + name
	}
	if m.Format == "gguf" {
		m.llama(&b, name)
		return b.String()
	}
	if m.Float {
		m.transformers(&b, name)
		return b.String()
	}
	fmt.Fprintf(&b, "### bitnet\n\n    bitnet %s\n    bitnet serve %s\n\n", talk, name)
	m.transformers(&b, name)
	fmt.Fprintf(&b, "### llama.cpp and Ollama\n\n")
	if m.config.HiddenAct != "silu" {
		fmt.Fprintf(&b, "llama.cpp computes SiLU for every model of this architecture, and this one has %s: its answers\nthere would be wrong.\n\n", escape(m.config.HiddenAct))
		return b.String()
	}
	fmt.Fprintf(&b, "    bitnet export %s --format gguf -o model.gguf\n", name)
	b.WriteString("    llama-cli -m model.gguf\n    ollama create my-model -f Modelfile\n\n")
	return b.String()
}

func (m *model) transformers(b *strings.Builder, name string) {
	fmt.Fprintf(b, "### transformers\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\nname = %q\n", name)
	b.WriteString("tokenizer = AutoTokenizer.from_pretrained(name)\nmodel = AutoModelForCausalLM.from_pretrained(name)\n")
	if m.chat() {
		b.WriteString("ids = tokenizer.apply_chat_template([{\"role\": \"user\", \"content\": \"Hello\"}],\n" +
			"                                    add_generation_prompt=True, return_tensors=\"pt\", return_dict=True)\n")
	} else {
		b.WriteString("ids = tokenizer(" + quote(m.prompt()) + ", return_tensors=\"pt\")\n")
	}
	b.WriteString("print(tokenizer.decode(model.generate(**ids, max_new_tokens=64)[0]))\n```\n\n")
	what := "The weights are float masters: `quantization_config` in `config.json` makes transformers quantise them\nin every forward pass."
	switch {
	case m.Float:
		what = "Nothing is quantised: `config.json` has no `quantization_config`. bitnet runs the ternary model and the\nadapter, not this folder."
	case m.Format == "hf-packed":
		what = "The weights are packed, four to a byte. They cannot be trained on: that needs the float masters."
	}
	b.WriteString(what + "\n\n")
}

func (m *model) llama(b *strings.Builder, name string) {
	file := word(m.GGUF)
	if m.Repo != "" {
		fmt.Fprintf(b, "    bitnet pull %s -o model\n\n", name)
	}
	fmt.Fprintf(b, "### llama.cpp\n\n    llama-cli -m %s\n\n", file)
	b.WriteString("### Ollama\n\n    ollama create my-model -f Modelfile\n    ollama run my-model\n\n")
	if m.config.HiddenAct != "silu" {
		fmt.Fprintf(b, "llama.cpp computes SiLU for every model of this architecture, and this one has %s: its answers are\nwrong unless yours knows better.\n\n", escape(m.config.HiddenAct))
	}
}

// prompt is the first prompt of the run's samples, if it needs no escaping between
// double quotes in a shell or in Python.
func (m *model) prompt() string {
	var prompts []string
	if yaml.Unmarshal([]byte(m.info.Config.Settings["output.prompts"]), &prompts) == nil && len(prompts) > 0 {
		p := prompts[0]
		if p != "" && len(p) < 80 && !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\"\\$`!", r) }) {
			return p
		}
	}
	return "Once upon a time"
}

func quote(s string) string { return `"` + s + `"` }

// word is a name as one word in code: what would end the word, the line or the
// block is left out.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r) {
			return r
		}
		return -1
	}, s)
}
