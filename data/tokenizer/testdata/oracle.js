// Answers requests with Hugging Face tokenizers (npm @anush008/tokenizers), one
// JSON object a line in, one a line out. The tests of this package start it.
const hf = require('@anush008/tokenizers')
const readline = require('readline')

const loaded = []

const commands = {
  // load takes the text of a tokenizer.json.
  load: ({ json }) => loaded.push(hf.Tokenizer.fromString(json)) - 1,

  encode: async ({ tokenizer, texts, template }) => {
    const encodings = await loaded[tokenizer].encodeBatch(texts, { addSpecialTokens: !!template })
    return encodings.map((e) => e.getIds())
  },

  decode: ({ tokenizer, ids }) => loaded[tokenizer].decodeBatch(ids, false),

  // train counts the lines of files and gives the seconds that took; its
  // settings are the trainer's defaults (30,000 tokens, no specials).
  train: ({ tokenizer, files, out }) => {
    const start = process.hrtime.bigint()
    loaded[tokenizer].train(files)
    const seconds = Number(process.hrtime.bigint() - start) / 1e9
    loaded[tokenizer].save(out, false)
    return seconds
  },

  save: ({ tokenizer, out }) => loaded[tokenizer].save(out, true),

  // time gives the seconds that encoding texts as one batch takes.
  time: async ({ tokenizer, file }) => {
    const texts = JSON.parse(require('fs').readFileSync(file, 'utf8'))
    const start = process.hrtime.bigint()
    await loaded[tokenizer].encodeBatch(texts, { addSpecialTokens: false })
    return Number(process.hrtime.bigint() - start) / 1e9
  },

  // members lists the code points that a regular expression matches.
  members: ({ regex }) => {
    const json = {
      version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null,
      pre_tokenizer: { type: 'Split', pattern: { Regex: regex }, behavior: 'Removed', invert: true },
      post_processor: null, decoder: null, model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
    }
    return members(hf.Tokenizer.fromString(JSON.stringify(json)).getPreTokenizer(), 1)
  },

  // digits lists the code points that the Digits pre-tokenizer isolates.
  digits: () => members(hf.digitsPreTokenizer(true), 2),

  // words lists the code points that a single_word token may not touch.
  words: async () => {
    const tokenizer = new hf.Tokenizer(hf.BPE.init({ '§§': 0 }, []))
    tokenizer.addAddedTokens([new hf.AddedToken('§§', false, { singleWord: true, normalized: false })])
    const found = []
    for (const chunk of codePoints()) {
      const text = chunk.map((c) => String.fromCodePoint(c) + '§§\n').join('')
      const offsets = (await tokenizer.encode(text, null, { addSpecialTokens: false })).getOffsets()
      const free = new Set(offsets.map(([start]) => (start - 1) / 4))
      chunk.forEach((c, i) => { if (!free.has(i) && c !== 0xa7) found.push(c) }) // § joins the token
    }
    return ranges(found)
  },
}

function * codePoints () {
  let chunk = []
  for (let c = 0; c < 0x110000; c++) {
    if (c < 0xd800 || c > 0xdfff) chunk.push(c)
    if (chunk.length === 20000 || c === 0x10ffff) {
      yield chunk
      chunk = []
    }
  }
}

// members collects the pieces of one character that a pre-tokenizer leaves of
// every code point, with spacing letters between.
function members (preTokenizer, spacing) {
  const found = []
  for (const chunk of codePoints()) {
    const text = spacing === 1
      ? String.fromCodePoint(...chunk)
      : chunk.map((c) => 'aa' + String.fromCodePoint(c) + 'aa').join('')
    for (const [piece] of preTokenizer.preTokenizeString(text)) {
      const characters = [...piece]
      if (spacing === 1) found.push(...characters.map((c) => c.codePointAt(0)))
      else if (characters.length === 1) found.push(characters[0].codePointAt(0))
    }
  }
  return ranges(found)
}

function ranges (points) {
  points.sort((a, b) => a - b)
  const out = []
  for (const c of points) {
    if (out.length && out[out.length - 1][1] === c - 1) out[out.length - 1][1] = c
    else out.push([c, c])
  }
  return out
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    let answer
    try {
      const request = JSON.parse(line)
      answer = { value: await commands[request.command](request) }
    } catch (e) {
      answer = { error: String(e.message || e) }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
}

main()
