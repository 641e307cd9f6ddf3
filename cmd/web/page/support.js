// What helps where WebGPU is missing, for the browser that the visitor has.

/** What can be done, the likeliest first; `agent` is the browser's name for itself. */
export function advice(agent, secure, phone) {
  const out = [];
  if (!secure) out.push('The page was opened over plain http from another machine: browsers give the GPU to pages of https and of localhost only. Open it with https, or tunnel: ssh -L 6007:127.0.0.1:6007 MACHINE, then http://127.0.0.1:6007.');
  const linux = /Linux|X11|CrOS/.test(agent) && !/Android/.test(agent);
  const apple = /iPhone|iPad|Macintosh/.test(agent);
  const firefox = /Firefox\/(\d+)/.exec(agent), chrome = /(?:Chrome|Chromium|Edg)\/(\d+)/.exec(agent);
  const safari = !chrome && !firefox && /Version\/(\d+).*Safari/.exec(agent);
  if (firefox) {
    out.push('Firefox has WebGPU on Windows from version 141, and on Macs with Apple silicon from version 145. Elsewhere open about:config and set dom.webgpu.enabled to true, or use Chrome.');
  } else if (safari) {
    out.push('Safari has WebGPU from version 26 (macOS 26, iOS 26): update the system. Before that, Chrome and Edge have it on a Mac.');
  } else if (chrome && linux) {
    out.push('On Linux, Chrome has WebGPU for Intel (Gen 12 and newer) from version 144 and for NVIDIA from version 147. For other cards open chrome://flags/#enable-unsafe-webgpu and chrome://flags/#enable-vulkan, set both to Enabled and start the browser again.');
  } else if (chrome) {
    if (Number(chrome[1]) < 113) out.push('Update this browser: Chrome and Edge have WebGPU from version 113, on Android from 121.');
    out.push('Turn on "Use graphics acceleration when available" in the settings, under System, and start the browser again; chrome://gpu says why the GPU is not used. Up-to-date graphics drivers help, too.');
  }
  if (!chrome || !linux) out.push(phone || apple ? 'Chrome and Edge (version 113; on Android 121) and Safari 26 have WebGPU.' : 'Chrome and Edge have WebGPU from version 113, Firefox from 141 on Windows, Safari from 26.');
  return out;
}
