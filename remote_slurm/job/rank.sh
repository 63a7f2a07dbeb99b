#!/bin/bash -p
# rank.sh RUNTIME COMMAND...: mpiexec starts this for each rank of a container with mpi-flags. Apptainer removes the node's
# environment, which includes the variables that mpiexec sets for each rank: this script passes them on.

prefix=SINGULARITYENV_
[[ $(readlink -f "$(type -P "$1")") == */apptainer ]] && prefix=APPTAINERENV_  # Apptainer warns about SINGULARITYENV_
shift

# UCX opens the memory of other ranks through /proc, which fails between the user namespaces of two containers
export UCX_POSIX_USE_PROC_LINK="${UCX_POSIX_USE_PROC_LINK-n}"

for name in $(compgen -e); do
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue  # in a name with an index, bash would run a command substitution
    case $name in
        PMI_* | PMI2_* | PMIX_* | HYDI_* | MPI_* | MPIR_* | MPICH_* | OMPI_* | PRTE_* | I_MPI_* | MV2_* | UCX_* | FI_*)
            export "$prefix$name=${!name}"
            ;;
    esac
done

exec "$@"
