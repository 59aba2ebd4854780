# `nix run github:mcpool/mcpool?dir=packaging/nix -- serve DIR`
{
  description = "Model Context Protocol server whose memory is bounded, measured and tunable";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      forAllSystems = nixpkgs.lib.genAttrs systems;
    in
    {
      packages = forAllSystems (
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
          source = ../..;
          manifest = (pkgs.lib.importTOML (source + "/Cargo.toml")).workspace.package;
        in
        {
          default = pkgs.rustPlatform.buildRustPackage {
            pname = "mcpool";
            inherit (manifest) version;
            src = source;
            cargoLock.lockFile = source + "/Cargo.lock";
            cargoBuildFlags = [ "--package" "mcpool" ];
            buildFeatures = [ "oauth" "tls" ];
            # They want git, sockets and some minutes; `nix develop -c cargo test` runs them.
            doCheck = false;
            env.MCPOOL_COMMIT = self.rev or "unknown";
            nativeBuildInputs = [ pkgs.installShellFiles ];
            postInstall = pkgs.lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
              for shell in bash zsh fish; do
                installShellCompletion --cmd mcpool --"$shell" <("$out/bin/mcpool" completions "$shell")
              done
              "$out/bin/mcpool" man --dir man
              installManPage man/*.1
            '';
            meta = {
              description = "Model Context Protocol server whose memory is bounded, measured and tunable";
              homepage = "https://github.com/mcpool/mcpool";
              license = with pkgs.lib.licenses; [ mit asl20 ];
              mainProgram = "mcpool";
            };
          };
        }
      );
    };
}
