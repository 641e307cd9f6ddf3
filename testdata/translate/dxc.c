// Compiles HLSL with Microsoft's compiler, dxcompiler.dll, which Dawn's package for Windows brings.
// Runs on Windows and in Wine:
//
//   x86_64-w64-mingw32-gcc dxc.c -o dxc.exe
//   wine dxc.exe PATH\dxcompiler.dll FILE.hlsl ...
//
// Prints "ok FILE" or "error FILE: message" for each file. The interfaces are those of dxcapi.h, as
// far as they are called.
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define UNKNOWN(T)                                                                                                                                   \
	HRESULT(WINAPI *QueryInterface)(T *, const GUID *, void **);                                                                                 \
	ULONG(WINAPI *AddRef)(T *);                                                                                                                  \
	ULONG(WINAPI *Release)(T *);

typedef struct Blob Blob;
struct Blob {
	struct {
		UNKNOWN(Blob)
		void *(WINAPI *GetBufferPointer)(Blob *);
		SIZE_T(WINAPI *GetBufferSize)(Blob *);
	} *table;
};
typedef struct Result Result;
struct Result {
	struct {
		UNKNOWN(Result)
		HRESULT(WINAPI *GetStatus)(Result *, HRESULT *);
		HRESULT(WINAPI *GetResult)(Result *, Blob **);
		HRESULT(WINAPI *GetErrorBuffer)(Result *, Blob **);
	} *table;
};
typedef struct {
	const void *text;
	SIZE_T size;
	UINT encoding;
} Buffer;
typedef struct Compiler Compiler;
struct Compiler {
	struct {
		UNKNOWN(Compiler)
		HRESULT(WINAPI *Compile)(Compiler *, const Buffer *, const WCHAR **, UINT32, void *, const GUID *, void **);
	} *table;
};

static const GUID class_compiler = {0x73e22d93, 0xe6ce, 0x47f3, {0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0}};
static const GUID id_compiler = {0x228b4687, 0x5a6a, 0x4730, {0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54}};
static const GUID id_result = {0x58346cda, 0xdde7, 0x4497, {0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59}};

static char *read_file(const char *path, SIZE_T *size) {
	FILE *f = fopen(path, "rb");
	if (!f) return NULL;
	fseek(f, 0, SEEK_END);
	long n = ftell(f);
	rewind(f);
	char *text = malloc(n + 1);
	*size = fread(text, 1, n, f);
	fclose(f);
	return text;
}

// compile_file reports whether a file compiles.
static int compile_file(Compiler *compiler, const char *path) {
	// As wgpu calls it: naga writes the language of 2018.
	const WCHAR *arguments[] = {L"-E", L"main", L"-T", L"cs_6_0", L"-HV", L"2018"};
	Buffer source = {NULL, 0, CP_UTF8};
	Result *result = NULL;
	Blob *code = NULL, *errors = NULL;
	HRESULT status = E_FAIL;
	source.text = read_file(path, &source.size);
	if (!source.text) {
		printf("error %s: it cannot be read\n", path);
		return 0;
	}
	HRESULT called = compiler->table->Compile(compiler, &source, arguments, 6, NULL, &id_result, (void **)&result);
	if (SUCCEEDED(called) && result) result->table->GetStatus(result, &status);
	int ok = SUCCEEDED(status) && SUCCEEDED(result->table->GetResult(result, &code)) && code && code->table->GetBufferSize(code) > 0;
	if (ok) {
		printf("ok %s: %lu bytes\n", path, (unsigned long)code->table->GetBufferSize(code));
	} else {
		if (result) result->table->GetErrorBuffer(result, &errors);
		printf("error %s: %s\n", path, errors ? (char *)errors->table->GetBufferPointer(errors) : "the compiler gave no reason");
	}
	fflush(stdout);
	if (code) code->table->Release(code);
	if (errors) errors->table->Release(errors);
	if (result) result->table->Release(result);
	free((void *)source.text);
	return ok;
}

int main(int argc, char **argv) {
	if (argc < 3) {
		fprintf(stderr, "usage: dxc dxcompiler.dll FILE.hlsl ...\n");
		return 2;
	}
	HMODULE library = LoadLibraryA(argv[1]);
	HRESULT(WINAPI * create)(const GUID *, const GUID *, void **) = library ? (void *)GetProcAddress(library, "DxcCreateInstance") : NULL;
	Compiler *compiler = NULL;
	if (!create || FAILED(create(&class_compiler, &id_compiler, (void **)&compiler))) {
		fprintf(stderr, "cannot use %s: error %lu\n", argv[1], GetLastError());
		return 2;
	}
	int failed = 0;
	for (int i = 2; i < argc; i++) failed += !compile_file(compiler, argv[i]);
	return failed > 0;
}
