#!/bin/bash -p
# rank.sh RUNTIME COMMAND...: what mpiexec starts for each rank of a container with mpi-flags. Apptainer keeps the
# node's environment out of the container, and what mpiexec tells its ranks would stay out with it.

prefix=SINGULARITYENV_
[[ $(readlink -f "$(type -P "$1")") == */apptainer ]] && prefix=APPTAINERENV_  # it complains about the older one
shift

# UCX opens the other ranks' memory through /proc, which the user namespaces of two containers do not let it
export UCX_POSIX_USE_PROC_LINK="${UCX_POSIX_USE_PROC_LINK-n}"

for name in $(compgen -e); do
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue  # bash would run what stands in an index
    case $name in
        PMI_* | PMI2_* | PMIX_* | HYDI_* | MPI_* | MPIR_* | MPICH_* | OMPI_* | PRTE_* | I_MPI_* | MV2_* | UCX_* | FI_*)
            export "$prefix$name=${!name}"
            ;;
    esac
done

exec "$@"
