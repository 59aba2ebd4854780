# Formula of mcpool, for a tap: `brew install mcpool/tap/mcpool`. `packaging/build` writes the version and the digest of the
# source archive into it.
class Mcpool < Formula
  desc "Model Context Protocol server whose memory is bounded, measured and tunable"
  homepage "https://github.com/mcpool/mcpool"
  url "https://github.com/mcpool/mcpool/releases/download/v@VERSION@/mcpool-@VERSION@-source.tar.gz"
  sha256 "@SOURCE_SHA256@"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build

  def install
    ENV["MCPOOL_COMMIT"] = "@COMMIT@"
    system "cargo", "install", "--features", "oauth,tls", *std_cargo_args
    generate_completions_from_executable(bin/"mcpool", "completions")
    system bin/"mcpool", "man", "--dir", man1
  end

  test do
    (testpath/"file.txt").write "text"
    assert_match "text", shell_output("#{bin}/mcpool call --dir #{testpath} read_text_file path=file.txt")
  end
end
