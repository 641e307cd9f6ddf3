package tokenizer

// addSpecials gives the next ids to special tokens that are matched exactly.
func (p *parts) addSpecials(names ...string) {
	for _, name := range names {
		id := uint32(len(p.tokens))
		p.tokens = append(p.tokens, name)
		p.added = append(p.added, addedToken{id: id, content: name, special: true})
	}
}

// nameSpecials finds the tokens that begin and end a text and fill up rows by
// the names that people give them, where no file says which they are.
func (t *Tokenizer) nameSpecials() {
	t.bos = t.firstSpecial("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>")
	t.eos = t.firstSpecial("</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>")
	t.pad = t.firstSpecial("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>")
}

func (t *Tokenizer) firstSpecial(names ...string) uint32 {
	for _, name := range names {
		if id, ok := t.ids[name]; ok && t.kinds[id] == Control {
			return id
		}
	}
	return none
}
