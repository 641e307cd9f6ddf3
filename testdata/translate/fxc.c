// Compiles HLSL with Microsoft's compiler, d3dcompiler_47.dll, which Dawn's package for Windows
// brings. Runs on Windows and in Wine:
//
//   x86_64-w64-mingw32-gcc fxc.c -o fxc.exe
//   wine fxc.exe PATH\d3dcompiler_47.dll FILE.hlsl ...
//
// Prints "ok FILE" or "error FILE: message" for each file. DX12 of wgpu asks for the same profile.
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

typedef struct Blob Blob;
typedef struct {
	HRESULT(WINAPI *QueryInterface)(Blob *, void *, void **);
	ULONG(WINAPI *AddRef)(Blob *);
	ULONG(WINAPI *Release)(Blob *);
	void *(WINAPI *GetBufferPointer)(Blob *);
	SIZE_T(WINAPI *GetBufferSize)(Blob *);
} BlobTable;
struct Blob {
	BlobTable *table;
};
typedef HRESULT(WINAPI *Compile)(const void *, SIZE_T, const char *, const void *, void *, const char *, const char *, UINT, UINT, Blob **, Blob **);

static char *read_file(const char *path, size_t *size) {
	FILE *f = fopen(path, "rb");
	if (!f) return NULL;
	fseek(f, 0, SEEK_END);
	*size = ftell(f);
	rewind(f);
	char *text = malloc(*size + 1);
	*size = fread(text, 1, *size, f);
	fclose(f);
	return text;
}

int main(int argc, char **argv) {
	if (argc < 3) {
		fprintf(stderr, "usage: fxc d3dcompiler_47.dll FILE.hlsl ...\n");
		return 2;
	}
	HMODULE library = LoadLibraryA(argv[1]);
	Compile compile = library ? (Compile)GetProcAddress(library, "D3DCompile") : NULL;
	if (!compile) {
		fprintf(stderr, "cannot load %s: error %lu\n", argv[1], GetLastError());
		return 2;
	}
	int failed = 0;
	for (int i = 2; i < argc; i++) {
		size_t size;
		char *text = read_file(argv[i], &size);
		Blob *code = NULL, *errors = NULL;
		HRESULT hr = text ? compile(text, size, argv[i], NULL, NULL, "main", "cs_5_1", 0, 0, &code, &errors) : E_FAIL;
		if (SUCCEEDED(hr) && code) {
			printf("ok %s: %lu bytes\n", argv[i], (unsigned long)code->table->GetBufferSize(code));
		} else {
			failed++;
			printf("error %s: %s\n", argv[i], errors ? (char *)errors->table->GetBufferPointer(errors) : "it cannot be read");
		}
		fflush(stdout);
		if (code) code->table->Release(code);
		if (errors) errors->table->Release(errors);
		free(text);
	}
	return failed > 0;
}
