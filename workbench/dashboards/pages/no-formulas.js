// In place of MathJax, which Voila would fetch from a public address: formulas stay text.
window.MathJax = {
  Hub: { Config() {}, Configured() {}, Queue() {}, Register: { StartupHook() {} }, config: { MathMenu: { styles: {} } } }
};
