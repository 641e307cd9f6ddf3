//go:build !js

package pagetest

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Where a browser of Linux keeps its files, if it does not tell.
var folders = []string{"/usr/lib/chromium", "/usr/lib/chromium-browser", "/usr/lib64/chromium-browser", "/opt/google/chrome"}

// SwiftShader is the manifest of the Vulkan driver that comes with the browser and
// computes on the CPU: with it another program has the adapter that the flag
// use-webgpu-adapter=swiftshader gives to a page. It is "" if the browser brings none.
func (b *Browser) SwiftShader() string {
	b.t.Helper()
	if path := os.Getenv("SWIFTSHADER"); path != "" { // as for gpu/with-swiftshader.sh
		return path
	}
	places := folders
	// The command on the path may be a script that starts the browser from its own folder.
	if line, err := chromedp.Call(b.Context, browser.GetBrowserCommandLine, cdp.Empty{}); err == nil && len(line.Arguments) > 0 {
		places = append([]string{filepath.Dir(line.Arguments[0])}, places...)
	}
	for _, dir := range places {
		if manifest := filepath.Join(dir, "vk_swiftshader_icd.json"); isFile(manifest) {
			return manifest
		}
		if library := filepath.Join(dir, "libvk_swiftshader.so"); isFile(library) {
			return b.manifest(library)
		}
	}
	return ""
}

// manifest writes what the Vulkan loader reads about a driver.
func (b *Browser) manifest(library string) string {
	text, err := json.Marshal(map[string]any{
		"file_format_version": "1.0.0",
		"ICD":                 map[string]string{"library_path": library, "api_version": "1.1.0"},
	})
	require.NoError(b.t, err)
	path := filepath.Join(b.t.TempDir(), "swiftshader.json")
	require.NoError(b.t, os.WriteFile(path, text, 0o600))
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
