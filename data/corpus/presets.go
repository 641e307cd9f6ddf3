package corpus

// Preset is a well-known data set on the hub.
type Preset struct {
	Name  string
	Repo  string   // org/name
	Files []string // patterns of the files to read, all of one split
	Field string   // column of the text
	// Bytes is about how large the files are, Text how much text they hold.
	Bytes, Text int64
	About       string
}

// Presets are the data sets that have a name of their own here.
var Presets = []Preset{
	{
		Name: "tinystories", Repo: "roneneldan/TinyStories", Files: []string{"data/train-*.parquet"}, Field: "text",
		Bytes: 1_000_000_000, Text: 1_900_000_000,
		About: "2.1 million short stories in the words of a small child",
	},
	{
		Name: "fineweb-edu", Repo: "HuggingFaceFW/fineweb-edu", Files: []string{"sample/10BT/*.parquet"}, Field: "text",
		Bytes: 28_000_000_000, Text: 47_000_000_000,
		About: "educational web pages, the sample of 10 billion tokens",
	},
}

// FindPreset gives the preset of that name.
func FindPreset(name string) (Preset, bool) {
	for _, p := range Presets {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}
