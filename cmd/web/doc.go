// Web is the program that runs in a browser's Web Worker: it trains, plays, talks
// and measures with the packages that bitnet itself uses, on navigator.gpu, and
// keeps its runs in the origin's private file system. The page that a visitor
// sees is plain JavaScript in the folder page; the worker's is in the folder
// worker. `make web` builds them, and `bitnet web` serves them.
//
// The folder that is served holds, side by side, the page's files and the
// worker's: worker.js, fs.js, gpu.js, wasm_exec.js (of the Go that compiled) and
// bitnet.wasm.
//
// # Messages
//
// The page and the worker talk in messages: plain objects that postMessage
// copies, with the fields that the types below name.
//
//	page to worker    {id, do, ...}       a request; id is a number of the page's choice
//	worker to page    {id, ok: true, ...} the answer: each request gets exactly one
//	                  {id, error}         what went wrong, one line for the visitor
//	                  {event, id, ...}    news of the request id, before its answer
//	                  {event, ...}        news of the worker
//
// Requests that take long (train, talk, measure, upload) are answered when they
// end; {do: "stop", of: id} ends one early, which is no error: its answer says
// how far it came. One training, one of open, talk and think, and one measurement
// can be under way at a time; a second of a kind gets an error. A measurement is
// refused beside the others, and they are refused beside it.
//
// The page creates the worker with new Worker("worker.js") and waits for one of
// the events ready and failed. It sends nothing before ready.
//
// Requests:
//
//	do        fields of the request        fields of the answer
//	adapter   {}                           Adapter
//	storage   {}                           Storage
//	schema    {}                           Schema
//	runs      {}                           {runs: [Run]}
//	run       {run}                        History
//	remove    {run}                        {}
//	train     Train                        Trained
//	upload    {name, files: [Upload]}      Run
//	download  {run, form}                  {name, file: Blob}
//	open      {run}                        Model
//	talk      Talk                         Talked
//	think     {run, moves}                 Thought
//	measure   Measure                      Measured
//	stop      {of}                         {}
//	lose      {}                           {}: loses the device, for tests
//
// In runs, a run is named by what Run.Name says; "" stands for the shipped
// tic-tac-toe model in think and open. A form is "folder" (a zip of the folder
// that bitnet chat and transformers load), "gguf" (for llama.cpp and Ollama) or
// "checkpoint" (a zip of the newest checkpoint with the optimizer's state,
// which bitnet train --init and this page's upload continue from).
//
// Events without an id:
//
//	ready     Ready        the worker takes requests
//	failed    Failed       it cannot start, or it ended; a new worker may be created
//	storage   Storage      the space changed; at most every few seconds
//	stalled   {seconds}    the GPU has not answered for so long; 0 when it does again
//
// Events of a request:
//
//	train     note         {text}: a line for the visitor, such as what is prepared
//	          preparing    Preparing: several times a second, before begin
//	          begin        Begin: before the first step; again after a lost device
//	          progress     Progress: at most ten times a second
//	          metrics      {metrics}: a line as in logs/metrics.jsonl
//	          eval         {eval}: Eval
//	          samples      {samples: [runs.Sample]}
//	          anomaly      {anomaly: runs.Anomaly}
//	          checkpoint   {step}: is safe now, a reload continues from it
//	          weights      Weights: the ternary weights as a picture; after metrics
//	upload    progress     {bytes, of}
//	talk      text         {text}: the next piece of the answer
//	measure   note         {text}: what is measured now
//	          measured     {what, result}: one part is done; as bitnet bench --json
package main
